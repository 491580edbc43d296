package junto

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Sampling says how tokens are chosen; see junto_sampling. All zeros: always the likeliest.
type Sampling struct {
	Seed             uint64
	Temperature      float32
	TopP             float32
	MinP             float32
	TopK             uint32
	RepeatPenalty    float32
	PresencePenalty  float32
	FrequencyPenalty float32
	PenaltyWindow    uint32
	MaxNewTokens     uint32
}

// Outcome says why work stopped.
type Outcome int32

// Yielded: step again. Done: the generation ended, Usage says why.
const (
	Yielded   Outcome = C.JUNTO_YIELDED
	Done      Outcome = C.JUNTO_DONE
	Cancelled Outcome = C.JUNTO_CANCELLED
)

// Stop says why a generation ended.
type Stop int32

// The reasons of junto.h.
const (
	StopNone      Stop = C.JUNTO_STOP_NONE
	StopEOS       Stop = C.JUNTO_STOP_EOS
	StopText      Stop = C.JUNTO_STOP_TEXT
	StopLength    Stop = C.JUNTO_STOP_LENGTH
	StopContext   Stop = C.JUNTO_STOP_CONTEXT
	StopCallback  Stop = C.JUNTO_STOP_CALLBACK
	StopCancelled Stop = C.JUNTO_STOP_CANCELLED
	StopToolCall  Stop = C.JUNTO_STOP_TOOL_CALL
)

// Usage is the account of a session; see junto_usage.
type Usage struct {
	Stop                                            Stop
	Position, PromptTokens, CachedTokens, NewTokens uint64
	Prefill, Decode, FirstToken, OvershootMax       time.Duration
}

// Channel says what a piece of text is.
type Channel int32

// The channels of junto.h.
const (
	Content       Channel = C.JUNTO_CHANNEL_CONTENT
	Reasoning     Channel = C.JUNTO_CHANNEL_REASONING
	ToolName      Channel = C.JUNTO_CHANNEL_TOOL_NAME
	ToolArguments Channel = C.JUNTO_CHANNEL_TOOL_ARGUMENTS
)

// Output says what a session gives besides the answer.
type Output uint32

// May be combined.
const (
	OutputReasoning Output = C.JUNTO_OUTPUT_REASONING
	OutputToolCalls Output = C.JUNTO_OUTPUT_TOOL_CALLS
	OutputRaw       Output = C.JUNTO_OUTPUT_RAW
)

// Chunk is a piece of what a model says. Text has whole characters and may be empty.
type Chunk struct {
	Text    string
	Tokens  []int32
	Channel Channel
	Call    int // which of the tool calls of this answer, from 0 on
}

// Session is one conversation: keys and values, sampler, pending text.
type Session struct {
	raw      *C.junto_session
	services *services
}

func newSession(services *services, create func(**C.junto_session, *C.junto_error) C.junto_status) (*Session, error) {
	var raw *C.junto_session
	_, err := call(func(err *C.junto_error) C.junto_status { return create(&raw, err) })
	if err != nil {
		return nil, err
	}
	s := &Session{raw, services.use()}
	runtime.SetFinalizer(s, (*Session).Close)
	return s, nil
}

// Close gives the session back.
func (s *Session) Close() {
	if s.raw != nil {
		C.junto_session_release(s.raw)
		s.raw = nil
		s.services.leave()
	}
}

func (s *Session) call(function func(*C.junto_error) C.junto_status) (Outcome, error) {
	defer runtime.KeepAlive(s)
	status, err := call(function)
	return Outcome(status), err
}

// SetSampling is for all tokens to come.
func (s *Session) SetSampling(sampling Sampling) error {
	var raw C.junto_sampling
	C.junto_sampling_init(&raw, C.size_t(unsafe.Sizeof(raw)))
	raw.seed = C.uint64_t(sampling.Seed)
	raw.temperature = C.float(sampling.Temperature)
	raw.top_p = C.float(sampling.TopP)
	raw.min_p = C.float(sampling.MinP)
	raw.top_k = C.uint32_t(sampling.TopK)
	raw.repeat_penalty = C.float(sampling.RepeatPenalty)
	raw.presence_penalty = C.float(sampling.PresencePenalty)
	raw.frequency_penalty = C.float(sampling.FrequencyPenalty)
	raw.penalty_window = C.uint32_t(sampling.PenaltyWindow)
	raw.max_new_tokens = C.uint32_t(sampling.MaxNewTokens)
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_set_sampling(s.raw, &raw, err)
	})
	return err
}

// AddStop ends generations before a text.
func (s *Session) AddStop(text string) error {
	data, size := chars(text)
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_add_stop(s.raw, data, size, err)
	})
	return err
}

// SetOutput says what Generate hears besides the answer, from the next Prefill on.
func (s *Session) SetOutput(output Output) error {
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_set_output(s.raw, C.uint32_t(output), err)
	})
	return err
}

// Prefill queues a prompt, less what the session holds of it already.
func (s *Session) Prefill(prompt *Prompt) error {
	defer runtime.KeepAlive(prompt)
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_prefill(s.raw, prompt.raw, err)
	})
	return err
}

// nanoseconds is a budget as C takes it; what is below nothing is nothing.
func nanoseconds(budget time.Duration) C.uint64_t {
	if budget < 0 {
		return 0
	}
	return C.uint64_t(budget)
}

// Step works for about so long, in the middle of a token if need be. Text waits for Read.
func (s *Session) Step(budget time.Duration) (Outcome, error) {
	return s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_step(s.raw, nanoseconds(budget), nil, nil, err)
	})
}

// Read takes the text that is pending.
func (s *Session) Read() (string, error) {
	defer runtime.KeepAlive(s)
	var text []byte
	var buffer [256]byte
	for {
		var size C.size_t
		dst := (*C.char)(unsafe.Pointer(&buffer[0]))
		status := C.junto_session_read(s.raw, dst, C.size_t(len(buffer)), &size)
		if status < 0 || size == 0 {
			return string(text), failure(status)
		}
		text = append(text, buffer[:size]...)
	}
}

// Cancel may be called by any goroutine: the step that runs, or the next, answers Cancelled.
func (s *Session) Cancel() {
	C.junto_session_cancel(s.raw)
	runtime.KeepAlive(s)
}

// listener is who hears chunks, and what it said to them.
type listener struct {
	hear     func(Chunk) error
	err      error
	panicked interface{}
}

//export junto_go_chunk
func junto_go_chunk(user C.uintptr_t, chunk *C.junto_chunk) (status C.junto_status) {
	l := cgo.Handle(user).Value().(*listener)
	defer func() {
		if l.panicked = recover(); l.panicked != nil { // goes on when C is out of the way
			status = C.JUNTO_E_CALLBACK
		}
	}()
	heard := Chunk{
		Text:    C.GoStringN(chunk.text, C.int(chunk.text_size)),
		Channel: Channel(chunk.channel), Call: int(chunk.call),
	}
	if count := int(chunk.token_count); count > 0 {
		heard.Tokens = append(heard.Tokens, unsafe.Slice((*int32)(chunk.tokens), count)...)
	}
	if l.err = l.hear(heard); l.err != nil {
		return C.JUNTO_DONE
	}
	return C.JUNTO_OK
}

// Generate hands the answer to hear as it comes, on this goroutine, until it ends. An error of hear
// ends it and is returned, as is that of a context that ends.
func (s *Session) Generate(ctx context.Context, hear func(Chunk) error) error {
	l := &listener{hear: hear}
	handle := cgo.NewHandle(l)
	defer handle.Delete()
	cancelled := s.cancelWith(ctx)
	outcome, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_go_generate(s.raw, C.uintptr_t(handle), err)
	})
	if cancelled() && outcome != Cancelled {
		s.Step(0) // the cancel came when all was said: it is not for the next answer
	}
	switch {
	case l.panicked != nil:
		panic(l.panicked)
	case l.err != nil:
		return l.err
	case err == nil && outcome == Cancelled && ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// cancelWith cancels the session when ctx ends. What it returns must be called: it puts an end to
// that, and tells whether it happened.
func (s *Session) cancelWith(ctx context.Context) func() bool {
	if ctx.Done() == nil {
		return func() bool { return false }
	}
	over, answer := make(chan struct{}), make(chan bool)
	go func() {
		select {
		case <-ctx.Done():
			s.Cancel()
			answer <- true
		case <-over:
			answer <- false
		}
	}()
	return func() bool {
		close(over)
		return <-answer
	}
}

// Stream is an answer that is asked for piece by piece:
//
//	stream := session.Stream(ctx)
//	for stream.Next() {
//		fmt.Print(stream.Text())
//	}
//	err := stream.Err()
type Stream struct {
	session *Session
	ctx     context.Context
	text    string
	err     error
	ended   bool
}

// Stream may be left and taken up again.
func (s *Session) Stream(ctx context.Context) *Stream { return &Stream{session: s, ctx: ctx} }

// Next waits for text; false at the end.
func (s *Stream) Next() bool {
	for !s.ended {
		if s.err = s.ctx.Err(); s.err != nil {
			s.ended = true
			s.session.Cancel()
			s.session.Step(0)
			return false
		}
		outcome, err := s.session.Step(10 * time.Millisecond)
		s.ended = err != nil || outcome != Yielded
		if err == nil {
			s.text, err = s.session.Read()
		}
		s.err = err
		if err == nil && s.text != "" {
			return true
		}
	}
	return false
}

// Text is what came last.
func (s *Stream) Text() string { return s.text }

// Err is why the stream ended, if not because all is said.
func (s *Stream) Err() error { return s.err }

// Fork makes another session that goes on from here; SessionOptions.MaxForks makes room for it.
func (s *Session) Fork() (*Session, error) {
	defer runtime.KeepAlive(s)
	return newSession(s.services, func(out **C.junto_session, err *C.junto_error) C.junto_status {
		return C.junto_session_fork(s.raw, out, err)
	})
}

// Snapshot is all of the session as bytes.
func (s *Session) Snapshot() ([]byte, error) {
	defer runtime.KeepAlive(s)
	return fetch(func(dst unsafe.Pointer, capacity C.size_t, size *C.size_t, err *C.junto_error) C.junto_status {
		return C.junto_session_snapshot(s.raw, dst, capacity, size, err)
	})
}

// Restore goes on where the session of a snapshot stood.
func (s *Session) Restore(snapshot []byte) error {
	data, size := chars(string(snapshot))
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_restore(s.raw, unsafe.Pointer(data), size, err)
	})
	return err
}

// Rewind makes the first tokens the context.
func (s *Session) Rewind(position uint64) error {
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_session_rewind(s.raw, C.uint64_t(position), err)
	})
	return err
}

// Usage is the account so far.
func (s *Session) Usage() (Usage, error) {
	defer runtime.KeepAlive(s)
	var raw C.junto_usage
	C.junto_usage_init(&raw, C.size_t(unsafe.Sizeof(raw)))
	err := failure(C.junto_session_get_usage(s.raw, &raw))
	return Usage{
		Stop: Stop(raw.stop), Position: uint64(raw.position),
		PromptTokens: uint64(raw.prompt_tokens), CachedTokens: uint64(raw.cached_tokens),
		NewTokens: uint64(raw.new_tokens), Prefill: time.Duration(raw.prefill_ns),
		Decode: time.Duration(raw.decode_ns), FirstToken: time.Duration(raw.first_token_ns),
		OvershootMax: time.Duration(raw.overshoot_max_ns),
	}, err
}
