// A conversation with a model, on the terminal. Ctrl-C ends an answer.
// Usage: chat MODEL.gguf [TOKENS]
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"

	"junto"
)

// answer shows what the model says to the prompt, and returns it.
func answer(session *junto.Session, prompt *junto.Prompt) (string, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := session.Prefill(prompt); err != nil {
		return "", err
	}
	text := ""
	err := session.Generate(ctx, func(chunk junto.Chunk) error {
		text += chunk.Text
		_, err := fmt.Print(chunk.Text)
		return err
	})
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return text, err
}

func chat(path string, tokens uint32) error {
	runtime, err := junto.NewRuntime(nil)
	if err != nil {
		return err
	}
	defer runtime.Close()
	model, err := runtime.Load(path)
	if err != nil {
		return err
	}
	defer model.Close()
	session, err := model.NewSession(nil)
	if err != nil {
		return err
	}
	defer session.Close()
	prompt, err := model.NewPrompt()
	if err != nil {
		return err
	}
	defer prompt.Close()
	if err := session.SetSampling(junto.Sampling{MaxNewTokens: tokens}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); ; {
		fmt.Print("> ")
		if !lines.Scan() {
			return lines.Err()
		}
		if err := prompt.Turn("user", lines.Text()); err != nil {
			return err
		}
		text, err := answer(session, prompt)
		if err != nil {
			return err
		}
		// As the model must hear what it said.
		if err := prompt.Turn("assistant", text); err != nil {
			return err
		}
		fmt.Println()
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: chat MODEL.gguf [TOKENS]")
	}
	tokens := 0
	if len(os.Args) > 2 {
		tokens, _ = strconv.Atoi(os.Args[2])
	}
	if err := chat(os.Args[1], uint32(tokens)); err != nil {
		log.Fatal(err)
	}
}
