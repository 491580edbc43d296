"""Measures llama.cpp's own distance from the F32 logits of smollm2.py.

`python llama_cpp.py MODEL.gguf LIBRARIES SCRATCH [THREADS]` loads the prebuilt llama.cpp v0.5.0 of
npm's @node-llama-cpp/linux-x64 (LIBRARIES is its bins/linux-x64) and runs the same 2,048 tokens
through one context of 2,048 with an F16 cache.
"""

import ctypes as c
import sys
from pathlib import Path

import numpy as np

import smollm2
from gguf_file import File

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import libllama

F16, FLASH_AUTO, FLASH_OFF = 1, -1, 0


class LlamaCpp:
    """One loaded model. `logits` evaluates tokens from position 0 in a fresh context."""

    def __init__(self, libraries, path, threads, repack):
        self.quiet = libllama.LogCallback(lambda *_: None)
        self.lib = lib = libllama.load(libraries, None, self.quiet)
        self.threads = threads
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.use_extra_bufts = repack
        self.model = lib.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, path

    def close(self):
        self.lib.llama_model_free(self.model)

    def tokenize(self, text):
        raw = text.encode()
        ids = (c.c_int32 * len(raw))()
        vocab = self.lib.llama_model_get_vocab(self.model)
        count = self.lib.llama_tokenize(vocab, raw, len(raw), ids, len(raw), False, False)
        return list(ids[:count])

    def logits(self, tokens, vocabulary, batch_size, flash):
        lib, params = self.lib, self.lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = len(tokens), batch_size, batch_size
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k = params.type_v = F16
        params.flash_attn = flash
        context = lib.llama_init_from_model(self.model, params)
        assert context, "no context"
        batch = lib.llama_batch_init(batch_size, 0, 1)
        for start in range(0, len(tokens), batch_size):
            batch.n_tokens = count = min(batch_size, len(tokens) - start)
            for i in range(count):
                batch.token[i], batch.pos[i] = int(tokens[start + i]), start + i
                batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
            assert lib.llama_decode(context, batch) == 0, start
            for i in range(count):
                row = lib.llama_get_logits_ith(context, i)
                yield start + i, np.ctypeslib.as_array(row, (vocabulary,))
        lib.llama_free(context)


def divergence(p, q):
    """KL(p || q) of two logit rows in nats."""
    p, q = p.astype(np.float64), q.astype(np.float64)
    log_p, log_q = p - smollm2.logsumexp(p), q - smollm2.logsumexp(q)
    return float((np.exp(log_p) * (log_p - log_q)).sum())


def top_divergence(p, q):
    """The same over the TOP ids of p and one bucket for all others: what reference.gguf allows."""
    ids = np.argsort(-p, kind="stable")[:smollm2.TOP]
    p, q = (np.exp(x[ids].astype(np.float64) - smollm2.logsumexp(x)) for x in (p, q))
    p, q = (np.append(x, 1 - x.sum()) for x in (p, q))
    return float((p * np.log(p / q)).sum())


def main(path, libraries, scratch, threads="1"):
    file = File(path)
    tokens = File(smollm2.DATA / "reference.gguf")["tokens"]
    positions = set(File(smollm2.DATA / "reference.gguf")["positions"].tolist())
    vocabulary = file.meta["llama.vocab_size"]
    reference = np.memmap(f"{scratch}/logits.f32", np.float32).reshape(-1, vocabulary)
    for repack, batch_size, flash in ((True, 512, FLASH_AUTO), (True, 512, FLASH_OFF),
                                      (False, 512, FLASH_OFF), (False, 1, FLASH_AUTO)):
        llama = LlamaCpp(libraries, path, int(threads), repack)
        same = llama.tokenize((smollm2.DATA / "english.txt").read_text())[:len(tokens)]
        assert same == tokens.tolist(), "llama.cpp tokenises the text differently"
        exact, top, square, agree = [], [], [], 0
        for position, row in llama.logits(tokens, vocabulary, batch_size, flash):
            expected = reference[position]
            exact.append(divergence(expected, row))
            if position in positions:
                top.append(top_divergence(expected, row))
            square.append(float(((expected - row) ** 2).sum() / (expected ** 2).sum()))
            agree += int(expected.argmax() == row.argmax())
        error = np.std(exact) / np.sqrt(len(exact))
        print(f"repack {repack}, batch {batch_size}, flash {flash}: mean KL {np.mean(exact):.6f} "
              f"+- {error:.6f}, median {np.median(exact):.6f}, 99% {np.quantile(exact, .99):.4f}, "
              f"max {max(exact):.4f}; top-1 {agree / len(exact):.4%}; NMSE {np.mean(square):.2e}; "
              f"over {len(top)} positions of the golden: mean KL of top 48 + rest "
              f"{np.mean(top):.6f}", flush=True)
        print(llama.lib.llama_print_system_info().decode(), flush=True)
        llama.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
