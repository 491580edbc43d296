package junto

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the examples do not call. The models: JUNTO_TEST_MODEL, and JUNTO_TEST_CALLS, which always
// calls the same tool.

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T) *Model {
	t.Helper()
	r, err := NewRuntime(&Options{MaxThreads: 2})
	must(t, err)
	defer r.Close() // models keep what they need of it
	m, err := r.Load(os.Getenv("JUNTO_TEST_MODEL"))
	must(t, err)
	return m
}

func converse(t *testing.T, m *Model) (*Session, *Prompt) {
	t.Helper()
	s, err := m.NewSession(&SessionOptions{ContextTokens: 256, MaxForks: 1})
	must(t, err)
	must(t, s.SetSampling(Sampling{Temperature: 0.8, Seed: 7, MaxNewTokens: 12}))
	p, err := m.NewPrompt()
	must(t, err)
	must(t, p.Turn("user", "Tell me of the sea."))
	must(t, s.Prefill(p))
	return s, p
}

func textOf(t *testing.T, s *Session) string {
	t.Helper()
	var text strings.Builder
	stream := s.Stream(context.Background())
	for stream.Next() {
		text.WriteString(stream.Text())
	}
	must(t, stream.Err())
	return text.String()
}

func TestSessions(t *testing.T) {
	m := load(t)
	info, err := m.Info()
	must(t, err)
	if info.Layers != 30 || info.Architecture != "llama" {
		t.Error(info)
	}
	tokens, err := m.Tokenize("Straße 🙂")
	must(t, err)
	bytes, err := m.Detokenize(tokens)
	must(t, err)
	if string(bytes) != "Straße 🙂" {
		t.Error(string(bytes))
	}

	s, p := converse(t, m)
	rendered, err := p.Render()
	must(t, err)
	if !strings.Contains(rendered, "Tell me of the sea.") {
		t.Error(rendered)
	}
	if outcome, err := s.Step(1); outcome != Yielded || err != nil {
		t.Error(outcome, err)
	}
	fork, err := s.Fork()
	must(t, err)
	snapshot, err := s.Snapshot()
	must(t, err)
	expected := textOf(t, s)
	if text := textOf(t, fork); text != expected || text == "" {
		t.Errorf("%q, %q", text, expected)
	}
	usage, err := s.Usage()
	must(t, err)
	if usage.Stop != StopLength || usage.NewTokens != 12 {
		t.Error(usage)
	}

	other, _ := converse(t, m)
	must(t, other.Restore(snapshot))
	m.Close()
	if text := textOf(t, other); text != expected {
		t.Errorf("%q, %q", text, expected)
	}
	must(t, other.Rewind(usage.PromptTokens))
	if text := textOf(t, other); text != expected {
		t.Errorf("%q, %q", text, expected)
	}
	if err := other.Restore(snapshot[1:]); !errors.Is(err, Format) {
		t.Error(err)
	}
	fork.Close()
	fork.Close()
}

func TestGenerate(t *testing.T) {
	s, p := converse(t, load(t))
	enough := errors.New("enough")
	heard := 0
	err := s.Generate(context.Background(), func(chunk Chunk) error {
		heard += len(chunk.Tokens)
		return enough
	})
	if err != enough || heard != 1 {
		t.Error(err, heard)
	}

	ctx, cancel := context.WithCancel(context.Background())
	must(t, s.SetSampling(Sampling{}))
	must(t, s.Prefill(p))
	err = s.Generate(ctx, func(Chunk) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	stream := s.Stream(ctx)
	if stream.Next() || !errors.Is(stream.Err(), context.Canceled) {
		t.Error(stream.Err())
	}

	// A cancel that comes when all is said does not reach the next answer.
	must(t, s.SetSampling(Sampling{MaxNewTokens: 1}))
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	must(t, s.Prefill(p))
	must(t, s.Generate(ctx, func(Chunk) error { return nil }))
	cancel()
	must(t, s.Prefill(p))
	must(t, s.Generate(context.Background(), func(Chunk) error { return nil }))

	func() {
		defer func() {
			if recover() != "ouch" {
				t.Error("the panic is lost")
			}
		}()
		must(t, s.Prefill(p))
		_ = s.Generate(context.Background(), func(Chunk) error { panic("ouch") })
	}()
	must(t, s.Prefill(p))
	must(t, s.Generate(context.Background(), func(Chunk) error { return nil }))
}

const template = "{% for m in messages %}{{ m.role }}={{ m.content }};" +
	"{% if m.tool_calls %}{{ m.tool_calls[0].function.name }};{% endif %}" +
	"{{ m.reasoning_content }}{% endfor %}{{ tools | length }}"

func TestTools(t *testing.T) {
	r, err := NewRuntime(nil)
	must(t, err)
	m, err := r.Load(os.Getenv("JUNTO_TEST_CALLS"))
	must(t, err)
	s, err := m.NewSession(nil)
	must(t, err)
	p, err := m.NewPrompt()
	must(t, err)
	must(t, p.Turn("user", "Find it"))
	must(t, s.SetOutput(OutputReasoning|OutputToolCalls))
	must(t, s.Prefill(p))
	said := map[Channel]string{}
	must(t, s.Generate(context.Background(), func(chunk Chunk) error {
		said[chunk.Channel] += chunk.Text
		return nil
	}))
	if said[ToolName] != "find" || said[ToolArguments] != `{"a": 1}` || said[Content] != "" {
		t.Error(said)
	}
	if usage, err := s.Usage(); usage.Stop != StopToolCall || err != nil {
		t.Error(usage, err)
	}

	p, err = m.NewPrompt()
	must(t, err)
	must(t, p.SetTemplate(template))
	must(t, p.SetTools(`[{"name": "find", "description": "d", "parameters": {"type": "object"}}]`))
	must(t, p.Turn("user", "x"))
	must(t, p.AssistantTurn("hm", "y", []ToolCall{{"find", `{"a": 1}`}}))
	must(t, p.ToolTurn("find", "7"))
	text, err := p.Render()
	must(t, err)
	if text != "user=x;assistant=y;find;hmtool=7;1" {
		t.Error(text)
	}
}

type lazy struct{}

func (lazy) Workers() int { return 1 }
func (lazy) Run(Tasks)    { panic("no work today") }

func TestFailures(t *testing.T) {
	r, err := NewRuntime(nil)
	must(t, err)
	_, err = r.Load("none.gguf")
	if !errors.Is(err, IO) || !errors.Is(err, syscall.ENOENT) || errors.Is(err, Memory) {
		t.Error(err)
	}
	if _, _, err := r.Memory(AllTags); err != nil {
		t.Error(err)
	}
	if _, err := NewRuntime(&Options{MemoryLimit: 1}); !errors.Is(err, Memory) {
		t.Error(err)
	}
	strict, err := NewRuntime(&Options{Executor: lazy{}})
	must(t, err)
	if _, err := strict.Load(os.Getenv("JUNTO_TEST_MODEL")); !errors.Is(err, Callback) {
		t.Error(err)
	}
	m := load(t)
	s, p := converse(t, m)
	if err := s.Rewind(1 << 40); !errors.Is(err, Invalid) {
		t.Error(err)
	}
	if err := p.AddTokens([]int32{1 << 30}); !errors.Is(err, Invalid) {
		t.Error(err)
	}
	if bytes, err := m.Plan(nil, TagKV); bytes == 0 || err != nil {
		t.Error(bytes, err)
	}
	runtime.GC() // finalizers and Close do not meet
}

func TestBatches(t *testing.T) {
	m := load(t)
	begin := func(seed uint64) *Session {
		s, _ := converse(t, m)
		must(t, s.SetSampling(Sampling{Temperature: 0.8, Seed: seed, MaxNewTokens: 12}))
		return s
	}
	var expected, said [3]string
	var sessions [3]*Session
	for i := range sessions {
		expected[i] = textOf(t, begin(uint64(i)))
		sessions[i] = begin(uint64(i))
	}
	b, err := m.NewBatch(2, 0)
	must(t, err)
	defer b.Close()
	finish := func() {
		for outcome := Yielded; outcome == Yielded; {
			var err error
			outcome, err = b.Step(10 * time.Millisecond)
			must(t, err)
			for i, s := range sessions {
				text, err := s.Read()
				must(t, err)
				said[i] += text
			}
		}
	}
	must(t, b.Add(sessions[0]))
	if outcome, err := b.Step(1); outcome != Yielded || err != nil {
		t.Error(outcome, err)
	}
	must(t, b.Add(sessions[1])) // while the first is at its prompt
	if err := b.Add(sessions[2]); !errors.Is(err, Invalid) {
		t.Error(err)
	}
	finish()
	must(t, b.Remove(sessions[0]))
	must(t, b.Add(sessions[2]))
	finish()
	if said != expected {
		t.Errorf("%q, not %q", said, expected)
	}
}

type oneFile struct {
	asked  []string
	closed int
}

type onDisk struct {
	*os.File
	files *oneFile
}

func (f *oneFile) Open(name string) (File, error) {
	f.asked = append(f.asked, name)
	switch name {
	case "a model":
		file, err := os.Open(os.Getenv("JUNTO_TEST_CALLS"))
		return onDisk{file, f}, err
	case "panic":
		panic("no such file")
	}
	return nil, os.ErrNotExist
}

func (f onDisk) Size() int64 {
	info, _ := f.Stat()
	return info.Size()
}

func (f onDisk) Close() error {
	f.files.closed++
	return f.File.Close()
}

func TestFilesAndLog(t *testing.T) {
	files := &oneFile{}
	var lines []string
	hear := func(level LogLevel, text string) {
		if level != LogInfo {
			t.Error(level, text)
		}
		lines = append(lines, text)
	}
	r, err := NewRuntime(&Options{MaxThreads: 1, Files: files, Log: hear, LogLevel: LogInfo})
	must(t, err)
	m, err := r.Load("a model")
	must(t, err)
	for _, name := range []string{"another", "panic"} {
		if _, err := r.Load(name); !errors.Is(err, IO) {
			t.Error(name, err)
		}
	}
	m.Close()
	r.Close()
	if files.closed == 0 || files.asked[0] != "a model" || len(lines) == 0 {
		t.Error(files, lines)
	}
}
