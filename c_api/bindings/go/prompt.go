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

// SetTools says what the model may call, before the first turn: a JSON array.
func (p *Prompt) SetTools(json string) error {
	data, size := chars(json)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_set_tools(p.raw, data, size, err)
	})
}

// SetTemplate sets a Jinja chat template instead of the model's own, before the first turn.
func (p *Prompt) SetTemplate(source string) error {
	data, size := chars(source)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_set_template(p.raw, data, size, err)
	})
}

// ToolCall is what a model calls; Arguments is a JSON object.
type ToolCall struct{ Name, Arguments string }

// Turn adds a whole turn.
func (p *Prompt) Turn(role, text string) error {
	return p.turn(role, func() error { return p.AddText(text) })
}

// AssistantTurn adds a turn of the assistant, with what it thought before its text, and its calls.
func (p *Prompt) AssistantTurn(reasoning, text string, calls []ToolCall) error {
	return p.turn("assistant", func() error {
		if err := p.addReasoning(reasoning); err != nil {
			return err
		}
		if err := p.AddText(text); err != nil {
			return err
		}
		for _, c := range calls {
			if err := p.addCall(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// ToolTurn adds the result of a call.
func (p *Prompt) ToolTurn(name, text string) error {
	data, size := chars(name)
	err := p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_begin_tool_turn(p.raw, data, size, err)
	})
	if err != nil {
		return err
	}
	return p.end(p.AddText(text))
}

func (p *Prompt) turn(role string, add func() error) error {
	name, size := chars(role)
	err := p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_begin_turn(p.raw, name, size, err)
	})
	if err != nil {
		return err
	}
	return p.end(add())
}

// end ends a turn even if it lacks something: left open it would refuse every later one.
func (p *Prompt) end(added error) error {
	ended := p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_end_turn(p.raw, err)
	})
	if added != nil {
		return added
	}
	return ended
}

func (p *Prompt) addReasoning(text string) error {
	if text == "" {
		return nil
	}
	data, size := chars(text)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_add_reasoning(p.raw, data, size, err)
	})
}

func (p *Prompt) addCall(c ToolCall) error {
	name, nameSize := chars(c.Name)
	arguments, size := chars(c.Arguments)
	return p.call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_add_tool_call(p.raw, name, nameSize, arguments, size, err)
	})
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
