"""What the examples do not call: forks, snapshots, ways back, tokens, handles in any order."""
import os
import threading

import junto


TEMPLATE = """{% for m in messages %}{{ m.role }}={{ m.content }};{% if m.tool_calls %}
{{- m.tool_calls[0].function.name }};{% endif %}{{ m.reasoning_content }}{% endfor %}
{{- tools | length }}"""


def text_of(session):
    return "".join(session.stream())


def fails(status, function, *arguments):
    try:
        function(*arguments)
    except junto.Error as error:
        assert error.status == status, error
        assert str(error)
        return
    raise AssertionError("no failure: %s" % function)


def tools():
    """A model that calls a tool, and what a template is told of tools."""
    model = junto.Runtime(max_threads=1).load(os.environ["JUNTO_TEST_CALLS"])
    session, prompt = model.session(), model.prompt()
    prompt.turn("user", "Find it")
    session.set_output(reasoning=True, tool_calls=True)
    session.prefill(prompt)
    chunks = list(session.chunks())
    said = {channel: "".join(c.text for c in chunks if c.channel == channel) for channel in
            junto.Channel}
    assert said[junto.Channel.TOOL_NAME] == "find"
    assert said[junto.Channel.TOOL_ARGUMENTS] == '{"a": 1}'
    assert said[junto.Channel.CONTENT] == ""
    assert session.usage().stop == junto.Stop.TOOL_CALL

    prompt = model.prompt()
    prompt.set_template(TEMPLATE)
    prompt.set_tools([{"name": "find", "description": "d", "parameters": {"type": "object"}}])
    prompt.turn("user", "x")
    prompt.turn("assistant", "y", reasoning="hm", calls=[("find", '{"a": 1}')])
    prompt.tool_turn("find", "7")
    assert prompt.render() == "user=x;assistant=y;find;hmtool=7;1"


class File:
    def __init__(self, path, closed):
        self._file, self._closed = open(path, "rb"), closed
        self.size = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset, size):
        return os.pread(self._file.fileno(), size, offset)

    def close(self):
        self._file.close()
        self._closed.append(True)


def services():
    """Files and a log of the host's."""
    asked, closed, lines = [], [], []

    def open_file(name):
        asked.append(name)
        return File({"a model": os.environ["JUNTO_TEST_CALLS"]}[name], closed)

    runtime = junto.Runtime(max_threads=1, open_file=open_file, log_level=junto.LogLevel.DEBUG,
                            log=lambda level, text: lines.append((level, text)))
    assert text_of_tool(runtime.load("a model")) == "find"
    fails(junto.Status.E_IO, runtime.load, "another")
    assert asked[0] == "a model" and "another" in asked
    assert closed and len(closed) == asked.count("a model")
    assert lines and all(isinstance(text, str) and text for _, text in lines), lines


def text_of_tool(model):
    session, prompt = model.session(), model.prompt()
    prompt.turn("user", "Find it")
    session.set_output(tool_calls=True)
    session.prefill(prompt)
    return next(c.text for c in session.chunks() if c.channel == junto.Channel.TOOL_NAME)


def batches(model):
    """Three sessions in one batch, one of which comes late: each says what it says alone."""
    def begin(seed):
        session, prompt = model.session(context_tokens=256), model.prompt()
        session.set_sampling(temperature=0.8, seed=seed, max_new_tokens=12)
        prompt.turn("user", "Tell me of the sea." if seed % 2 else "Tell me of the wind.")
        session.prefill(prompt)
        return session

    expected = [text_of(begin(seed)) for seed in range(3)]
    batch, sessions, said = model.batch(2), [begin(seed) for seed in range(3)], {}
    batch.add(sessions[0])
    fails(junto.Status.E_INVALID, batch.add, sessions[0])
    assert batch.step(1) == junto.Status.YIELDED
    batch.add(sessions[1])
    fails(junto.Status.E_INVALID, batch.add, sessions[2])
    for session, chunk in batch.chunks():
        said[session] = said.get(session, "") + chunk.text
    batch.remove(sessions[0])
    batch.add(sessions[2])
    for session, chunk in batch.chunks():
        said[session] = said.get(session, "") + chunk.text
    assert [said[session] for session in sessions] == expected


def main():
    tools()
    services()
    assert junto.version()[0] == 1
    runtime = junto.Runtime(max_threads=2)
    model = runtime.load(os.environ["JUNTO_TEST_MODEL"])
    info = model.info()
    assert (info.layers, info.vocab, info.architecture) == (30, 49152, b"llama")
    tokens = model.tokenize("Straße 🙂")
    assert model.detokenize(tokens).decode() == "Straße 🙂"

    batches(model)

    shape = {"context_tokens": 256, "max_forks": 1}
    session = model.session(**shape)
    session.set_sampling(temperature=0.8, seed=7, max_new_tokens=12)
    prompt = model.prompt()
    prompt.turn("user", "Tell me of the sea.")
    assert "Tell me of the sea." in prompt.render()
    session.prefill(prompt)
    session.step(1)  # in the middle of the prompt
    fork = session.fork()
    snapshot = session.snapshot()
    expected = text_of(session)
    assert expected and text_of(fork) == expected
    assert session.usage().stop == junto.Stop.LENGTH
    assert session.usage().new_tokens == 12

    other = model.session(**shape)
    other.restore(snapshot)
    assert text_of(other) == expected
    fails(junto.Status.E_MISMATCH, model.session(context_tokens=128).restore, snapshot)
    session.rewind(session.usage().prompt_tokens)
    assert text_of(session) == expected

    canceller = threading.Thread(target=session.cancel)
    canceller.start()
    canceller.join()
    session.prefill(prompt)
    assert session.step(1 << 60) == junto.Status.CANCELLED

    fails(junto.Status.E_INVALID, session.rewind, 1 << 40)
    fails(junto.Status.E_INVALID, prompt.add_tokens, [1 << 30])
    fails(junto.Status.E_UNSUPPORTED, junto.Runtime, None, True)
    assert model.plan(junto.Tag.KV, **shape) > 0

    runtime.close()  # parents first: children keep them alive
    model.close()
    other.prefill(prompt)
    assert text_of(other)
    other.close()
    other.close()
    try:
        other.step(1)
        raise AssertionError("a closed session steps")
    except Exception as error:  # pylint: disable=broad-except
        assert "closed" in str(error)
    print("python: forks, snapshots, ways back, tools, batches, files, cancels, failures")


if __name__ == "__main__":
    main()
