"""An answer in memory that Python counts: nothing is taken behind its back, as a thread of Junto's
own would. Usage: allocator.py MODEL.gguf QUESTION [TOKENS]"""
import ctypes
import sys

import junto

libc = ctypes.CDLL(None)
libc.aligned_alloc.restype = ctypes.c_void_p
libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


class Counting:
    """Where the model's memory comes from, and how much of it there is for what."""

    def __init__(self):
        self.live = dict.fromkeys(junto.Tag, 0)
        self.calls = 0

    def allocate(self, size, alignment, tag):
        address = libc.aligned_alloc(alignment, -(-size // alignment) * alignment)
        if address:
            self.live[tag] += size
            self.calls += 1
        return address

    def deallocate(self, address, size, _alignment, tag):
        self.live[tag] -= size
        libc.free(address)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: allocator.py MODEL.gguf QUESTION [TOKENS]")
    counting = Counting()
    with junto.Runtime(allocator=counting, strict=True, max_threads=1) as runtime, \
            runtime.load(sys.argv[1]) as model, model.session() as session, \
            model.prompt() as prompt:
        session.set_sampling(max_new_tokens=int(sys.argv[3]) if len(sys.argv) > 3 else 0)
        prompt.turn("user", sys.argv[2])
        session.prefill(prompt)
        calls = counting.calls
        for text in session.stream():
            print(text, end="", flush=True)
        print()
        for tag, size in counting.live.items():
            if size:
                print("%-10s %11d bytes" % (tag.name.lower(), size), file=sys.stderr)
        print("%d allocations while it answered" % (counting.calls - calls), file=sys.stderr)
    print("%d bytes left" % sum(counting.live.values()), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except junto.Error as error:
        sys.exit("allocator.py: %s" % error)
