package junto

// #include <junto.h>
import "C"

import (
	"runtime"
	"unsafe"
)

// Prompt is a whole context: turns, or text and tokens outside of turns.
type Prompt struct {
	raw      *C.junto_prompt
	services *services
}

// Close gives the prompt back.
func (p *Prompt) Close() {
	if p.raw != nil {
		C.junto_prompt_release(p.raw)
		p.raw = nil
		p.services.leave()
	}
}

func (p *Prompt) call(function func(*C.junto_error) C.junto_status) error {
	defer runtime.KeepAlive(p)
	_, err := call(function)
	return err
}

// SetVariable sets a template variable.
func (p *Prompt) SetVariable(key, value string) error {
	k, keySize := chars(key)
	v, valueSize := chars(value)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_set_variable(p.raw, k, keySize, v, valueSize, err)
	})
}

// Turn adds a whole turn of the system, the user or the assistant.
func (p *Prompt) Turn(role, text string) error {
	name, size := chars(role)
	err := p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_begin_turn(p.raw, name, size, err)
	})
	if err != nil {
		return err
	}
	added := p.AddText(text)
	ended := p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_end_turn(p.raw, err)
	})
	if added != nil {
		return added
	}
	return ended
}

// AddText adds text outside of turns.
func (p *Prompt) AddText(text string) error {
	data, size := chars(text)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_add_text(p.raw, data, size, err)
	})
}

// AddTokens adds tokens outside of turns.
func (p *Prompt) AddTokens(tokens []int32) error {
	data, count := numbers(tokens)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_add_tokens(p.raw, data, count, err)
	})
}

// Render is the text that a session would be fed.
func (p *Prompt) Render() (string, error) {
	defer runtime.KeepAlive(p)
	text, err := fetch(func(dst unsafe.Pointer, capacity C.size_t, size *C.size_t, err *C.junto_error) C.junto_status {
		return C.junto_prompt_render(p.raw, (*C.char)(dst), capacity, size, err)
	})
	return string(text), err
}
