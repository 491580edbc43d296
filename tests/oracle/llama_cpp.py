"""Measures llama.cpp's own distance from the F32 logits of smollm2.py.

`python llama_cpp.py MODEL.gguf LIBRARIES SCRATCH [THREADS]` loads the prebuilt llama.cpp v0.5.0 of
npm's @node-llama-cpp/linux-x64 (LIBRARIES is its bins/linux-x64) and runs the same 2,048 tokens
through one context of 2,048 with an F16 cache. The structures below follow that version's llama.h.
"""

import ctypes as c
import sys
from pathlib import Path

import numpy as np

import smollm2
from gguf_file import File

F16, FLASH_AUTO, FLASH_OFF = 1, -1, 0


class ModelParams(c.Structure):
    _fields_ = [
        ("devices", c.c_void_p), ("overrides", c.c_void_p), ("n_gpu_layers", c.c_int32),
        ("split_mode", c.c_int32), ("load_mode", c.c_int32), ("lazy_mode", c.c_int32),
        ("main_gpu", c.c_int32), ("tensor_split", c.c_void_p), ("progress", c.c_void_p),
        ("progress_data", c.c_void_p), ("kv_overrides", c.c_void_p), ("vocab_only", c.c_bool),
        ("check_tensors", c.c_bool), ("use_extra_bufts", c.c_bool), ("no_host", c.c_bool),
        ("no_alloc", c.c_bool), ("load_mtp", c.c_bool)]


class ContextParams(c.Structure):
    _fields_ = [
        ("n_ctx", c.c_uint32), ("n_batch", c.c_uint32), ("n_ubatch", c.c_uint32),
        ("n_seq_max", c.c_uint32), ("n_rs_seq", c.c_uint32), ("n_outputs_max", c.c_uint32),
        ("n_outputs_max_per_seq", c.c_uint32), ("n_threads", c.c_int32),
        ("n_threads_batch", c.c_int32), ("ctx_type", c.c_int32), ("rope_scaling_type", c.c_int32),
        ("pooling_type", c.c_int32), ("attention_type", c.c_int32), ("flash_attn", c.c_int32),
        ("rope_freq", c.c_float * 2), ("yarn", c.c_float * 4), ("yarn_orig_ctx", c.c_uint32),
        ("defrag_thold", c.c_float), ("cb_eval", c.c_void_p), ("cb_eval_data", c.c_void_p),
        ("type_k", c.c_int32), ("type_v", c.c_int32), ("abort", c.c_void_p),
        ("abort_data", c.c_void_p), ("embeddings", c.c_bool), ("offload_kqv", c.c_bool),
        ("no_perf", c.c_bool), ("op_offload", c.c_bool), ("swa_full", c.c_bool),
        ("kv_unified", c.c_bool), ("samplers", c.c_void_p), ("n_samplers", c.c_size_t),
        ("ctx_other", c.c_void_p)]


class Batch(c.Structure):
    _fields_ = [
        ("n_tokens", c.c_int32), ("token", c.POINTER(c.c_int32)), ("embd", c.c_void_p),
        ("pos", c.POINTER(c.c_int32)), ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))), ("logits", c.POINTER(c.c_int8))]


class LlamaCpp:
    """One loaded model. `logits` evaluates tokens from position 0 in a fresh context."""

    def __init__(self, libraries, path, threads, repack):
        assert (c.sizeof(ModelParams), c.sizeof(ContextParams), c.sizeof(Batch)) == (80, 160, 56)
        ggml = c.CDLL(f"{libraries}/libggml.v0.5.0.so", mode=c.RTLD_GLOBAL)
        self.lib = lib = c.CDLL(f"{libraries}/libllama.v0.5.0.so")
        self.threads = threads
        self.quiet = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
        lib.llama_log_set(self.quiet, None)
        ggml.ggml_backend_load_all_from_path(str(libraries).encode())
        lib.llama_backend_init()
        lib.llama_model_default_params.restype = ModelParams
        lib.llama_context_default_params.restype = ContextParams
        lib.llama_batch_init.restype = Batch
        lib.llama_decode.argtypes = [c.c_void_p, Batch]
        lib.llama_get_logits_ith.restype = c.POINTER(c.c_float)
        lib.llama_get_logits_ith.argtypes = [c.c_void_p, c.c_int32]
        lib.llama_model_load_from_file.restype = c.c_void_p
        lib.llama_model_load_from_file.argtypes = [c.c_char_p, ModelParams]
        lib.llama_init_from_model.restype = c.c_void_p
        lib.llama_init_from_model.argtypes = [c.c_void_p, ContextParams]
        lib.llama_free.argtypes = lib.llama_model_free.argtypes = [c.c_void_p]
        lib.llama_print_system_info.restype = c.c_char_p
        lib.llama_model_get_vocab.restype = c.c_void_p
        lib.llama_model_get_vocab.argtypes = [c.c_void_p]
        lib.llama_tokenize.argtypes = [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32),
                                       c.c_int32, c.c_bool, c.c_bool]
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
