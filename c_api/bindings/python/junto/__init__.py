"""Junto: language models on the CPU, inside this process.

    runtime = junto.Runtime()
    model = runtime.load("model.gguf")
    session, prompt = model.session(), model.prompt()
    prompt.turn("user", "Why is the sky blue?")
    for text in session.answer(prompt):
        print(text, end="", flush=True)

Handles may be closed in any order, by close(), by `with`, or by the collector. Runtime, Model and
Session.cancel may be used by all threads at once; a Session or a Prompt by one at a time, and the
library answers BUSY otherwise. junto.h says the rest; the names are the same.
"""
import collections
import ctypes
import itertools
import json
import weakref

from . import _abi

Status = _abi.enums["junto_status"]
Stop = _abi.enums["junto_stop"]
Tag = _abi.enums["junto_tag"]
Channel = _abi.enums["junto_channel"]
Dtype = _abi.enums["junto_dtype"]
LogLevel = _abi.enums["junto_log_level"]

SLICE_NS = 20_000_000  # between two looks at Ctrl-C

# A piece of what a model says; call counts the tool calls of an answer.
Chunk = collections.namedtuple("Chunk", "channel text call")


class Error(Exception):
    """What a call failed with: status, and one line of text."""

    def __init__(self, status, message, os_error=0):
        super().__init__(message or status.name)
        self.status = status
        self.os_error = os_error


def version(library=None):
    """Major, minor and patch of the library that is loaded."""
    number = _abi.load(library).junto_version()
    return number >> 16, number >> 8 & 255, number & 255


class _Allocator:
    """The C side of an object with allocate(size, alignment, tag), which returns an address or
    None, and deallocate(address, size, alignment, tag). Both are called from any thread."""

    def __init__(self, allocator):
        def allocate(_, size, alignment, tag):
            try:
                return allocator.allocate(size, alignment, Tag(tag))
            except Exception:  # pylint: disable=broad-except  # must not pass into C
                return None

        def deallocate(_, address, size, alignment, tag):
            allocator.deallocate(address, size, alignment, Tag(tag))

        struct = _abi.types["junto_allocator"]
        fields = dict(struct._fields_)
        self.struct = _abi.new("junto_allocator", allocate=fields["allocate"](allocate),
                               deallocate=fields["deallocate"](deallocate))


class _Io:
    """The C side of a function that opens a file by its name and returns an object with size,
    read_at(offset, size), which returns bytes and may run on many threads at once, and close(). It
    raises an exception for files that are not there."""

    def __init__(self, open_file):
        files, numbers = {}, itertools.count(1)

        def attempt(action):
            try:
                action()
                return Status.OK
            except Exception:  # pylint: disable=broad-except  # must not pass into C
                return Status.E_IO

        def open_one(_, name, name_size, place, size):
            def action():
                file, number = open_file(ctypes.string_at(name, name_size).decode()), next(numbers)
                size[0], place[0], files[number] = file.size, number, file
            return attempt(action)

        def read_at(_, number, offset, destination, size):
            def action():
                data = files[number].read_at(offset, size)
                if len(data) != size:
                    raise EOFError(offset)
                ctypes.memmove(destination, data, size)
            return attempt(action)

        def close(_, number):
            attempt(lambda: files.pop(number).close())

        fields = dict(_abi.types["junto_io"]._fields_)
        self.struct = _abi.new("junto_io", open_file=fields["open_file"](open_one),
                               read_at=fields["read_at"](read_at),
                               close_file=fields["close_file"](close))


def _logger(log):
    def hear(_, level, text, size):
        try:
            log(LogLevel(level), ctypes.string_at(text, size).decode(errors="replace"))
        except Exception:  # pylint: disable=broad-except  # must not pass into C
            pass

    return _abi.types["junto_log_fn"](hear)


def _give_back(release, pointer, _services):
    release(pointer)


class _Handle:
    """One reference to a C object."""

    def __init__(self, library, services, name, create):
        """create receives a place for the pointer and an error, and returns a status."""
        self._library = library
        self._services = services  # callbacks of the runtime: they outlive all its children
        pointer = ctypes.POINTER(_abi.types[name])()
        self._call(create, ctypes.byref(pointer))
        self._pointer = pointer
        self._end = weakref.finalize(self, _give_back, getattr(library, name + "_release"),
                                     pointer, services)

    @property
    def _as_parameter_(self):
        if not self._end.alive:
            raise ValueError("this %s is closed" % type(self).__name__)
        return self._pointer

    def close(self):
        self._end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _call(function, *arguments):
        """function(*arguments, err): its status, if that is no failure."""
        error = _abi.new("junto_error")
        status = Status(function(*arguments, ctypes.byref(error)))
        if status < 0:
            raise Error(status, error.message.decode(errors="replace"), error.os_error)
        return status

    @staticmethod
    def _bytes(function, *arguments):
        """What a function writes that tells the size when dst is NULL."""
        size = ctypes.c_size_t()
        _Handle._call(lambda err: function(*arguments, None, 0, ctypes.byref(size), err))
        buffer = (ctypes.c_char * size.value)()
        _Handle._call(lambda err: function(*arguments, buffer, size, ctypes.byref(size), err))
        return buffer.raw[:size.value]


def _text(text):
    """Text as the two arguments that C takes."""
    data = text.encode()
    return ctypes.cast(ctypes.create_string_buffer(data, len(data) + 1),
                       ctypes.POINTER(ctypes.c_char)), len(data)


def _tokens(tokens):
    return (ctypes.c_int32 * len(tokens))(*tokens), len(tokens)


class Runtime(_Handle):
    """The services of the host. Options: memory_limit, max_threads, isa_deny, and strict, with
    which nothing is taken behind the allocator; allocator: see _Allocator; open_file: see _Io; log,
    which hears (level, text) on any thread up to log_level, and must not call Junto."""

    def __init__(self, allocator=None, strict=False, library=None, open_file=None, log=None,
                 **options):
        library = _abi.load(library)
        desc = _abi.new("junto_runtime_desc", **options)
        services = []
        if allocator is not None:
            services.append(_Allocator(allocator))
            desc.allocator = ctypes.pointer(services[-1].struct)
        if open_file is not None:
            services.append(_Io(open_file))
            desc.io = ctypes.pointer(services[-1].struct)
        if log is not None:
            services.append(_logger(log))
            desc.log = services[-1]
        if strict:
            desc.flags |= _abi.constants["JUNTO_RUNTIME_STRICT_MEMORY"]
        super().__init__(library, services, "junto_runtime",
                         lambda out, err: library.junto_runtime_create(desc, out, err))

    def load(self, path, **options):
        """The model of a GGUF or packed file."""
        return Model(self, str(path), **options)

    def memory(self, tag=Tag.INVALID):
        """Bytes in use and the most ever in use under a tag; of all tags without one."""
        current, peak = ctypes.c_uint64(), ctypes.c_uint64()
        status = self._library.junto_runtime_memory(self, tag, current, peak)
        if status < 0:
            raise Error(Status(status), "")
        return current.value, peak.value


class Model(_Handle):
    """Weights and tokenizer."""

    def __init__(self, runtime, path, **options):
        library = runtime._library
        desc = _abi.new("junto_model_desc", **options)
        super().__init__(library, runtime._services, "junto_model",
                         lambda out, err: library.junto_model_load(runtime, *_text(path), desc, out,
                                                                   err))

    def info(self):
        """The fields of junto_model_info."""
        info = _abi.new("junto_model_info")
        self._library.junto_model_get_info(self, info)
        return info

    def tokenize(self, text, flags=0):
        count = ctypes.c_size_t()
        arguments = (self, *_text(text), flags)
        self._call(self._library.junto_tokenize, *arguments, None, 0, ctypes.byref(count))
        tokens = (ctypes.c_int32 * count.value)()
        self._call(self._library.junto_tokenize, *arguments, tokens, count, ctypes.byref(count))
        return list(tokens[:count.value])

    def detokenize(self, tokens, flags=0):
        """Bytes: tokens may begin or end inside a character."""
        return self._bytes(self._library.junto_detokenize, self, *_tokens(tokens), flags)

    def plan(self, tag, **options):
        """The bytes that session(**options) will take under a tag."""
        size = ctypes.c_uint64()
        self._call(self._library.junto_session_plan, self,
                   _abi.new("junto_session_desc", **options), tag, ctypes.byref(size))
        return size.value

    def session(self, **options):
        """A conversation. Options: the fields of junto_session_desc."""
        desc = _abi.new("junto_session_desc", **options)
        return Session(self, lambda out, err: self._library.junto_session_create(self, desc, out,
                                                                                 err))

    def prompt(self):
        return Prompt(self)

    def batch(self, max_sessions, max_tokens_per_pass=0):
        return Batch(self, max_sessions, max_tokens_per_pass)


class Prompt(_Handle):
    """A whole context: turns, or text and tokens outside of turns."""

    def __init__(self, model):
        super().__init__(model._library, model._services, "junto_prompt",
                         lambda out, err: model._library.junto_prompt_create(model, out, err))

    def set_variable(self, key, value):
        self._call(self._library.junto_prompt_set_variable, self, *_text(key), *_text(value))

    def set_tools(self, tools):
        """What the model may call, before the first turn: see junto_prompt_set_tools."""
        self._call(self._library.junto_prompt_set_tools, self, *_text(json.dumps(tools)))

    def set_template(self, source):
        """A Jinja chat template instead of the model's own, before the first turn."""
        self._call(self._library.junto_prompt_set_template, self, *_text(source))

    def turn(self, role, text, reasoning="", calls=()):
        """A whole turn; of the assistant with what it thought before, and calls: pairs of a tool's
        name and its arguments, a JSON object as text."""
        self._call(self._library.junto_prompt_begin_turn, self, *_text(role))
        try:
            if reasoning:
                self._call(self._library.junto_prompt_add_reasoning, self, *_text(reasoning))
            self.add_text(text)
            for name, arguments in calls:
                self._call(self._library.junto_prompt_add_tool_call, self, *_text(name),
                           *_text(arguments))
        finally:
            self._call(self._library.junto_prompt_end_turn, self)

    def tool_turn(self, name, text):
        """The result of a call."""
        self._call(self._library.junto_prompt_begin_tool_turn, self, *_text(name))
        try:
            self.add_text(text)
        finally:
            self._call(self._library.junto_prompt_end_turn, self)

    def add_text(self, text):
        self._call(self._library.junto_prompt_add_text, self, *_text(text))

    def add_tokens(self, tokens):
        self._call(self._library.junto_prompt_add_tokens, self, *_tokens(tokens))

    def render(self):
        return self._bytes(self._library.junto_prompt_render, self).decode()


class Session(_Handle):
    """One conversation: keys and values, sampler, pending text."""

    def __init__(self, parent, create):
        super().__init__(parent._library, parent._services, "junto_session", create)

    def set_sampling(self, **options):
        """The fields of junto_sampling; what is not named is off."""
        self._call(self._library.junto_session_set_sampling, self,
                   _abi.new("junto_sampling", **options))

    def add_stop(self, text):
        self._call(self._library.junto_session_add_stop, self, *_text(text))

    def set_bias(self, biases):
        """biases: from token to what its logit gains."""
        tokens, count = _tokens(list(biases))
        values = (ctypes.c_float * count)(*biases.values())
        self._call(self._library.junto_session_set_bias, self, tokens, values, count)

    def prefill(self, prompt):
        """Queues a prompt, less what the session holds of it already."""
        self._call(self._library.junto_session_prefill, self, prompt)

    def step(self, budget_ns):
        """Works for about so long: Status.YIELDED, DONE or CANCELLED. Text waits for read()."""
        return self._call(self._library.junto_session_step, self, budget_ns,
                          _abi.types["junto_stream_fn"](), None)

    def read(self):
        """The text that is pending; "" when there is none."""
        buffer, size, parts = (ctypes.c_char * 1024)(), ctypes.c_size_t(), []
        while self._library.junto_session_read(self, buffer, len(buffer), size) == 0 and size.value:
            parts.append(buffer.raw[:size.value].decode())
        return "".join(parts)

    def set_output(self, reasoning=False, tool_calls=False, raw=False):
        """What chunks() gives besides the answer, from the next prefill on."""
        flags = [name for name, on in (("REASONING", reasoning), ("TOOL_CALLS", tool_calls),
                                       ("RAW", raw)) if on]
        self._call(self._library.junto_session_set_output, self,
                   sum(_abi.constants["JUNTO_OUTPUT_" + flag] for flag in flags))

    def chunks(self):
        """All that is to come, piece by piece. A loop over it may be left and taken up again."""
        status = Status.YIELDED
        while status == Status.YIELDED:
            status = self.step(SLICE_NS)
            yield from self.pending()

    def pending(self):
        """The chunks that wait to be read."""
        chunk, buffer = _abi.new("junto_chunk"), (ctypes.c_char * 1024)()
        while self._library.junto_session_read_chunk(self, buffer, len(buffer), chunk) == 0:
            text = buffer.raw[:chunk.text_size].decode()
            yield Chunk(Channel(chunk.channel), text, chunk.call)

    def stream(self):
        """The text of the answer alone."""
        for chunk in self.chunks():
            if chunk.channel == Channel.CONTENT:
                yield chunk.text

    def answer(self, prompt):
        """The text that follows a prompt, piece by piece."""
        self.prefill(prompt)
        yield from self.stream()

    def cancel(self):
        """From any thread: the step that runs, or the next, answers CANCELLED."""
        self._library.junto_session_cancel(self)

    def fork(self):
        """Another session that goes on from here; session(max_forks=...) makes room for it."""
        return Session(self, lambda out, err: self._library.junto_session_fork(self, out, err))

    def snapshot(self):
        """All of the session as bytes."""
        return self._bytes(self._library.junto_session_snapshot, self)

    def restore(self, snapshot):
        self._call(self._library.junto_session_restore, self, snapshot, len(snapshot))

    def rewind(self, position):
        self._call(self._library.junto_session_rewind, self, position)

    def usage(self):
        """The fields of junto_usage."""
        usage = _abi.new("junto_usage")
        self._library.junto_session_get_usage(self, usage)
        return usage


class Batch(_Handle):
    """Sessions of one model that share each pass; each says what it would say alone."""

    def __init__(self, model, max_sessions, max_tokens_per_pass=0):
        library = model._library
        self._sessions = []
        super().__init__(library, model._services, "junto_batch",
                         lambda out, err: library.junto_batch_create(
                             model, max_sessions, max_tokens_per_pass, out, err))

    def add(self, session):
        """At any time, also while others are in the middle of their answers."""
        self._call(self._library.junto_batch_add, self, session)
        self._sessions.append(session)

    def remove(self, session):
        self._call(self._library.junto_batch_remove, self, session)
        self._sessions.remove(session)

    def step(self, budget_ns):
        """Works for about so long: Status.YIELDED, or DONE when no session has work. Text waits in
        the sessions."""
        return self._call(self._library.junto_batch_step, self, budget_ns,
                          _abi.types["junto_stream_fn"](), None)

    def chunks(self):
        """Pairs of a session and a chunk of its, until no session has work."""
        status = Status.YIELDED
        while status == Status.YIELDED:
            status = self.step(SLICE_NS)
            for session in list(self._sessions):
                for chunk in session.pending():
                    yield session, chunk
