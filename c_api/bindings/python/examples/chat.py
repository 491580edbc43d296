"""A conversation with a model, on the terminal. Usage: chat.py MODEL.gguf [TOKENS]"""
import sys

import junto


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: chat.py MODEL.gguf [TOKENS]")
    model = junto.Runtime().load(sys.argv[1])
    session, prompt = model.session(), model.prompt()
    session.set_sampling(max_new_tokens=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    while True:
        print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            break
        prompt.turn("user", line.rstrip("\n"))
        answer = ""
        for text in session.answer(prompt):
            print(text, end="", flush=True)
            answer += text
        prompt.turn("assistant", answer)  # as the model must hear what it said
        print()


if __name__ == "__main__":
    try:
        main()
    except junto.Error as error:
        sys.exit("chat.py: %s" % error)
