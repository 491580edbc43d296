"""Junto and llama.cpp in one process, with all symbols of both for everybody to see, and both
generating at the same time: each must say what it says alone.

    beside_llama.py SOURCE_DIR LLAMA_LIBRARIES MODEL.gguf
"""
import ctypes
import os
import sys
import threading
from pathlib import Path

SOURCE, LIBRARIES, MODEL = sys.argv[1:]
sys.path[:0] = [SOURCE + "/c_api/bindings/python", SOURCE + "/bench"]
import junto  # noqa: E402
import libllama  # noqa: E402

TOKENS = 40


class Llama:
    """Greedy tokens of a prompt of tokens."""

    def __init__(self):
        self.log = libllama.LogCallback(lambda level, text, user: None)
        self.api = libllama.load(LIBRARIES, None, self.log)
        self.api.llama_backend_init()
        self.model = self.api.llama_model_load_from_file(MODEL.encode(),
                                                         self.api.llama_model_default_params())
        params = self.api.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = 256, 2, 2
        self.context = self.api.llama_init_from_model(self.model, params)
        self.batch = self.api.llama_batch_init(256, 0, 1)
        assert self.model and self.context
        self.vocabulary = self.api.llama_vocab_n_tokens(self.api.llama_model_get_vocab(self.model))

    def say(self, tokens):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        said, start = [], 0
        for _ in range(TOKENS):
            libllama.fill(self.batch, tokens, start)
            assert self.api.llama_decode(self.context, self.batch) == 0
            start += len(tokens)
            logits = self.api.llama_get_logits_ith(self.context, len(tokens) - 1)
            values = logits[:self.vocabulary]
            said.append(values.index(max(values)))
            tokens = said[-1:]
        return said

    def close(self):
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)


class Junto:
    def __init__(self):
        self.model = junto.Runtime(max_threads=2).load(MODEL)
        self.session, self.prompt = self.model.session(context_tokens=256), self.model.prompt()
        self.session.set_sampling(max_new_tokens=TOKENS)
        self.prompt.turn("user", "Why is the sky blue?")

    def say(self):
        self.session.rewind(0)
        return "".join(self.session.answer(self.prompt))


def alone():
    """What Junto says in a process that has never heard of llama.cpp."""
    print(Junto().say(), end="")


def main():
    llama = Llama()
    tokens = list(range(1000, 1020))
    expected = llama.say(tokens)
    # Now Junto, whose names would be found first by nobody and by everybody.
    ctypes.CDLL(os.environ["JUNTO_LIBRARY"], mode=ctypes.RTLD_GLOBAL)
    beside = Junto()
    mine = beside.say()
    assert "sky" in mine, mine
    texts = []
    speaker = threading.Thread(target=lambda: texts.extend(beside.say() for _ in range(6)))
    speaker.start()
    rounds = 0
    while rounds < 2 or speaker.is_alive():
        assert llama.say(tokens) == expected
        rounds += 1
    speaker.join()
    assert texts == [mine] * 6, texts
    llama.close()
    assert beside.say() == mine
    Path(os.environ["JUNTO_SAID"]).write_text(mine, encoding="utf-8")
    print("llama.cpp spoke %d times and Junto 8 times in one process" % (rounds + 1))


if __name__ == "__main__":
    alone() if "JUNTO_ALONE" in os.environ else main()
