"""What the examples do not call: forks, snapshots, ways back, tokens, handles in any order."""
import sys
import threading

import junto


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


def main():
    assert junto.version()[0] == 1
    runtime = junto.Runtime(max_threads=2)
    model = runtime.load(sys.argv[1])
    info = model.info()
    assert (info.layers, info.vocab, info.architecture) == (30, 49152, b"llama")
    tokens = model.tokenize("Straße 🙂")
    assert model.detokenize(tokens).decode() == "Straße 🙂"

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
    print("python: forks, snapshots, ways back, cancels, failures")


if __name__ == "__main__":
    main()
