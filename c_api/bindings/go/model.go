package junto

// #include <junto.h>
import "C"

import (
	"runtime"
	"unsafe"
)

// Model has weights and tokenizer.
type Model struct {
	raw      *C.junto_model
	services *services
}

// ModelInfo is what a model is; see junto_model_info.
type ModelInfo struct {
	Architecture                     string
	WeightBytes, DecodeBytes         uint64
	ParamsTotal, ParamsActive        uint64
	Layers, Width, Vocab, ContextMax int
	Experts, ExpertsUsed             int
	BeginOfSequence, EndOfSequence   int32
}

// SessionOptions is the shape of a session; see junto_session_desc. Zeros are its defaults.
type SessionOptions struct {
	ContextTokens   uint32
	PrefillChunk    uint32
	CheckpointBytes uint64
	MaxForks        uint32
	ForkTokens      uint32
}

func (o *SessionOptions) desc() *C.junto_session_desc {
	var desc C.junto_session_desc
	C.junto_session_desc_init(&desc, C.size_t(unsafe.Sizeof(desc)))
	if o != nil {
		desc.context_tokens = C.uint32_t(o.ContextTokens)
		desc.prefill_chunk = C.uint32_t(o.PrefillChunk)
		desc.checkpoint_bytes = C.uint64_t(o.CheckpointBytes)
		desc.max_forks = C.uint32_t(o.MaxForks)
		desc.fork_tokens = C.uint32_t(o.ForkTokens)
	}
	return &desc
}

// Close gives the model back. Sessions and prompts keep it while they need it.
func (m *Model) Close() {
	if m.raw != nil {
		C.junto_model_release(m.raw)
		m.raw = nil
		m.services.leave()
	}
}

// Info tells what the model is.
func (m *Model) Info() (ModelInfo, error) {
	defer runtime.KeepAlive(m)
	var raw C.junto_model_info
	C.junto_model_info_init(&raw, C.size_t(unsafe.Sizeof(raw)))
	err := failure(C.junto_model_get_info(m.raw, &raw))
	return ModelInfo{
		Architecture: C.GoString(&raw.architecture[0]),
		WeightBytes:  uint64(raw.weight_bytes), DecodeBytes: uint64(raw.decode_bytes),
		ParamsTotal: uint64(raw.params_total), ParamsActive: uint64(raw.params_active),
		Layers: int(raw.layers), Width: int(raw.width), Vocab: int(raw.vocab),
		ContextMax: int(raw.context_max),
		Experts:    int(raw.experts), ExpertsUsed: int(raw.experts_used),
		BeginOfSequence: int32(raw.bos), EndOfSequence: int32(raw.eos),
	}, err
}

// Tokenize turns text into tokens, none of which is a control token.
func (m *Model) Tokenize(text string) ([]int32, error) {
	defer runtime.KeepAlive(m)
	data, size := chars(text)
	var count C.size_t
	_, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_tokenize(m.raw, data, size, 0, nil, 0, &count, err)
	})
	if err != nil || count == 0 {
		return nil, err
	}
	tokens := make([]int32, count)
	_, err = call(func(err *C.junto_error) C.junto_status {
		dst, capacity := numbers(tokens)
		return C.junto_tokenize(m.raw, data, size, 0, dst, capacity, &count, err)
	})
	return tokens, err
}

// Detokenize gives bytes, as tokens may begin or end inside a character.
func (m *Model) Detokenize(tokens []int32) ([]byte, error) {
	defer runtime.KeepAlive(m)
	data, count := numbers(tokens)
	return fetch(func(dst unsafe.Pointer, capacity C.size_t, size *C.size_t, err *C.junto_error) C.junto_status {
		return C.junto_detokenize(m.raw, data, count, 0, (*C.char)(dst), capacity, size, err)
	})
}

// Plan tells the bytes that a session of this shape will take under a tag.
func (m *Model) Plan(options *SessionOptions, tag Tag) (uint64, error) {
	defer runtime.KeepAlive(m)
	desc := options.desc()
	var bytes C.uint64_t
	_, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_plan(m.raw, desc, C.junto_tag(tag), &bytes, err)
	})
	return uint64(bytes), err
}

// NewSession begins a conversation; nil asks for the defaults.
func (m *Model) NewSession(options *SessionOptions) (*Session, error) {
	defer runtime.KeepAlive(m)
	desc := options.desc()
	return newSession(m.services, func(out **C.junto_session, err *C.junto_error) C.junto_status {
		return C.junto_session_create(m.raw, desc, out, err)
	})
}

// NewPrompt begins a context.
func (m *Model) NewPrompt() (*Prompt, error) {
	defer runtime.KeepAlive(m)
	p := &Prompt{services: m.services}
	_, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_prompt_create(m.raw, &p.raw, err)
	})
	if err != nil {
		return nil, err
	}
	p.services.use()
	runtime.SetFinalizer(p, (*Prompt).Close)
	return p, nil
}
