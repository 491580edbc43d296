"""llama.cpp through its C library: the structures of llama.h, and a program that measures a model.

    python3 libllama.py LIBRARIES MODEL.gguf --vocabulary N --threads N --prompt N --new N
        --repetitions N [--backend NAME] [--no-repack]

prints one line of JSON. LIBRARIES is the folder of a prebuilt llama.cpp v0.5.0, whose header the
structures below follow, or `python` for the module llama_cpp, which brings its own. Settings are
llama.cpp's own but for the threads and the size of the context; with --no-repack weights stay where
the file is mapped.
"""

import argparse
import ctypes as c
import importlib
import importlib.metadata
import json
import re
import statistics
import time
from pathlib import Path

VERSION = "v0.5.0"


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


LogCallback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)

# Name: what it returns, what it takes.
FUNCTIONS = {
    "llama_log_set": (None, [LogCallback, c.c_void_p]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (ModelParams, []),
    "llama_model_load_from_file": (c.c_void_p, [c.c_char_p, ModelParams]),
    "llama_model_free": (None, [c.c_void_p]),
    "llama_model_get_vocab": (c.c_void_p, [c.c_void_p]),
    "llama_vocab_n_tokens": (c.c_int32, [c.c_void_p]),
    "llama_tokenize": (c.c_int32, [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32),
                                   c.c_int32, c.c_bool, c.c_bool]),
    "llama_context_default_params": (ContextParams, []),
    "llama_init_from_model": (c.c_void_p, [c.c_void_p, ContextParams]),
    "llama_free": (None, [c.c_void_p]),
    "llama_get_memory": (c.c_void_p, [c.c_void_p]),
    "llama_memory_clear": (None, [c.c_void_p, c.c_bool]),
    "llama_batch_init": (Batch, [c.c_int32, c.c_int32, c.c_int32]),
    "llama_decode": (c.c_int32, [c.c_void_p, Batch]),
    "llama_get_logits_ith": (c.POINTER(c.c_float), [c.c_void_p, c.c_int32]),
    "llama_print_system_info": (c.c_char_p, []),
}


def load(libraries, backend, callback):
    """The functions of llama.h from a folder of prebuilt libraries. `backend` names one of the CPU
    backends there, such as haswell; None lets the libraries choose the one for this machine."""
    assert (c.sizeof(ModelParams), c.sizeof(ContextParams), c.sizeof(Batch)) == (80, 160, 56)
    ggml = c.CDLL(f"{libraries}/libggml.{VERSION}.so", mode=c.RTLD_GLOBAL)
    library = c.CDLL(f"{libraries}/libllama.{VERSION}.so")
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.llama_log_set(callback, None)
    if backend is None:
        ggml.ggml_backend_load_all_from_path(str(libraries).encode())
    else:
        ggml.ggml_backend_load.restype = c.c_void_p
        if not ggml.ggml_backend_load(f"{libraries}/libggml-cpu-{backend}.so".encode()):
            raise SystemExit(f"llama.cpp has no CPU backend '{backend}' that runs here")
    return library


def fill(batch, tokens, start):
    """Tokens of one sequence from position `start`; logits of the last."""
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i] = token, start + i
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        batch.logits[i] = i + 1 == len(tokens)


def random_tokens(vocabulary):
    """The same on every machine, and the same that `junto bench` takes."""
    state = 1
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (state >> 33) % vocabulary


class Run:
    """A loaded model and a context with room for one prompt and one answer."""

    def __init__(self, api, log, options):
        self.api, self.options = api, options
        api.llama_backend_init()
        start = time.monotonic()
        params = api.llama_model_default_params()
        params.use_extra_bufts = not options.no_repack
        model = api.llama_model_load_from_file(options.model.encode(), params)
        if not model:
            raise SystemExit("".join(log[-20:]) + f"llama.cpp cannot load {options.model}")
        self.load_s = time.monotonic() - start
        params = api.llama_context_default_params()
        params.n_ctx = options.prompt + options.new
        params.n_threads = params.n_threads_batch = options.threads
        self.context = api.llama_init_from_model(model, params)
        if not self.context:
            raise SystemExit("".join(log[-20:]) + "llama.cpp cannot create a context")
        self.batch = api.llama_batch_init(options.prompt, 0, 1)
        self.tokens = random_tokens(options.vocabulary)

    def decode(self, count, start):
        fill(self.batch, [next(self.tokens) for _ in range(count)], start)
        if self.api.llama_decode(self.context, self.batch) != 0:
            raise SystemExit(f"llama.cpp cannot decode {count} tokens at {start}")
        return self.api.llama_get_logits_ith(self.context, count - 1)[0]

    def measure(self):
        """Tokens per second of a prompt and of the new tokens after it."""
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        start = time.monotonic()
        self.decode(self.options.prompt, 0)
        middle = time.monotonic()
        for i in range(self.options.new):
            self.decode(1, self.options.prompt + i)
        return (self.options.prompt / (middle - start),
                self.options.new / (time.monotonic() - middle))


def cpu_backend():
    """The file of the CPU backend that this process has loaded."""
    names = re.findall(r"/(libggml-cpu\S*)", Path("/proc/self/maps").read_text())
    return names[0] if names else "built in"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("libraries")
    parser.add_argument("model")
    parser.add_argument("--backend")
    parser.add_argument("--no-repack", action="store_true")
    parser.add_argument("--vocabulary", type=int, required=True)
    for name in ("threads", "prompt", "new", "repetitions"):
        parser.add_argument("--" + name, type=int, required=True)
    options = parser.parse_args()
    python = options.libraries == "python"
    log = []
    callback = LogCallback(lambda level, text, user: log.append(text.decode(errors="replace")))
    if python:
        api = importlib.import_module("llama_cpp")
        api.llama_log_set(c.cast(callback, api.llama_log_callback), None)
    else:
        api = load(options.libraries, options.backend, callback)
    run = Run(api, log, options)
    run.measure()  # warms up
    rates = [run.measure() for _ in range(options.repetitions)]
    version = "of llama-cpp-python " + importlib.metadata.version("llama-cpp-python") \
        if python else VERSION
    buffers = re.findall(r"(\S+) model buffer size = +(\S+ \S+)", "".join(log))
    print(json.dumps({
        "version": version, "backend": cpu_backend(), "load_s": run.load_s,
        "buffers": [" ".join(buffer) for buffer in buffers],
        "features": api.llama_print_system_info().decode().strip(),
        "prefill_tokens_per_s": statistics.median(rate[0] for rate in rates),
        "decode_tokens_per_s": statistics.median(rate[1] for rate in rates)}))


if __name__ == "__main__":
    main()
