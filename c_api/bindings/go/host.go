package junto

// #include "bridge.h"
import "C"

import (
	"io"
	"runtime/cgo"
	"sync/atomic"
	"unsafe"
)

// Tag says what memory is for.
type Tag int32

// The tags of junto.h. AllTags asks for their sum.
const (
	AllTags      Tag = C.JUNTO_TAG_INVALID
	TagObject    Tag = C.JUNTO_TAG_OBJECT
	TagWeights   Tag = C.JUNTO_TAG_WEIGHTS
	TagKV        Tag = C.JUNTO_TAG_KV
	TagScratch   Tag = C.JUNTO_TAG_SCRATCH
	TagTokenizer Tag = C.JUNTO_TAG_TOKENIZER
	TagLoadTemp  Tag = C.JUNTO_TAG_LOAD_TEMP
	TagThread    Tag = C.JUNTO_TAG_THREAD
	TagExternal  Tag = C.JUNTO_TAG_EXTERNAL
	TagMapped    Tag = C.JUNTO_TAG_MAPPED
)

// Allocator is where all memory comes from. It must not be Go's own; nil refuses. Called from any
// thread.
type Allocator interface {
	Allocate(size, alignment uintptr, tag Tag) unsafe.Pointer
	Deallocate(p unsafe.Pointer, size, alignment uintptr, tag Tag)
}

// Executor is where all work is done. Run calls tasks.Work at least once, from as many goroutines
// as it likes at the same time, each with a number below Workers that no other has meanwhile, and
// returns when all of these calls have.
type Executor interface {
	Workers() int
	Run(tasks Tasks)
}

// Tasks is a loop of independent pieces of work.
type Tasks struct{ raw *C.junto_go_tasks }

// Work does pieces until none is left.
func (t Tasks) Work(worker int) { C.junto_go_work(t.raw, C.uint32_t(worker)) }

// Files is where models are read from; names are whatever Load was given. Open fails for a file
// that is not there.
type Files interface {
	Open(name string) (File, error)
}

// File is a file that is open, for all goroutines at once.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// LogLevel says how grave a line of the log is.
type LogLevel int32

// The levels of junto.h.
const (
	LogOff   LogLevel = C.JUNTO_LOG_OFF
	LogError LogLevel = C.JUNTO_LOG_ERROR
	LogWarn  LogLevel = C.JUNTO_LOG_WARN
	LogInfo  LogLevel = C.JUNTO_LOG_INFO
	LogDebug LogLevel = C.JUNTO_LOG_DEBUG
)

// services is what a runtime's callbacks use, until the last handle under it is closed.
type services struct {
	allocator Allocator
	executor  Executor
	files     Files
	log       func(LogLevel, string)
	handle    cgo.Handle
	users     int32
}

func newServices(options *Options) *services {
	s := &services{
		allocator: options.Allocator, executor: options.Executor,
		files: options.Files, log: options.Log,
	}
	s.handle = cgo.NewHandle(s)
	return s.use()
}

func (s *services) use() *services {
	atomic.AddInt32(&s.users, 1)
	return s
}

func (s *services) leave() {
	if atomic.AddInt32(&s.users, -1) == 0 {
		s.handle.Delete()
	}
}

// Panics must not pass through C: what they interrupt fails instead.

//export junto_go_allocate
func junto_go_allocate(user C.uintptr_t, size, alignment C.size_t, tag C.junto_tag) (p unsafe.Pointer) {
	defer func() {
		if recover() != nil {
			p = nil
		}
	}()
	s := cgo.Handle(user).Value().(*services)
	return s.allocator.Allocate(uintptr(size), uintptr(alignment), Tag(tag))
}

//export junto_go_deallocate
func junto_go_deallocate(user C.uintptr_t, p unsafe.Pointer, size, alignment C.size_t, tag C.junto_tag) {
	defer func() { _ = recover() }()
	s := cgo.Handle(user).Value().(*services)
	s.allocator.Deallocate(p, uintptr(size), uintptr(alignment), Tag(tag))
}

//export junto_go_parallel_for
func junto_go_parallel_for(user C.uintptr_t, tasks *C.junto_go_tasks) (status C.junto_status) {
	defer func() {
		if recover() != nil {
			status = C.JUNTO_E_CALLBACK
		}
	}()
	cgo.Handle(user).Value().(*services).executor.Run(Tasks{tasks})
	return C.JUNTO_OK
}

//export junto_go_open
func junto_go_open(user C.uintptr_t, name *C.char, nameSize C.size_t, file *C.uintptr_t, size *C.uint64_t) (status C.junto_status) {
	defer func() {
		if recover() != nil {
			status = C.JUNTO_E_IO
		}
	}()
	s := cgo.Handle(user).Value().(*services)
	opened, err := s.files.Open(C.GoStringN(name, C.int(nameSize)))
	if err != nil {
		return C.JUNTO_E_IO
	}
	*size = C.uint64_t(opened.Size())
	*file = C.uintptr_t(cgo.NewHandle(opened))
	return C.JUNTO_OK
}

//export junto_go_read_at
func junto_go_read_at(file C.uintptr_t, offset C.uint64_t, dst unsafe.Pointer, size C.size_t) (status C.junto_status) {
	defer func() {
		if recover() != nil {
			status = C.JUNTO_E_IO
		}
	}()
	bytes := unsafe.Slice((*byte)(dst), int(size))
	if n, _ := cgo.Handle(file).Value().(File).ReadAt(bytes, int64(offset)); n != len(bytes) {
		return C.JUNTO_E_IO
	}
	return C.JUNTO_OK
}

//export junto_go_close
func junto_go_close(file C.uintptr_t) {
	defer func() { _ = recover() }()
	handle := cgo.Handle(file)
	defer handle.Delete()
	_ = handle.Value().(File).Close()
}

//export junto_go_log
func junto_go_log(user C.uintptr_t, level C.junto_log_level, text *C.char, size C.size_t) {
	defer func() { _ = recover() }()
	s := cgo.Handle(user).Value().(*services)
	s.log(LogLevel(level), C.GoStringN(text, C.int(size)))
}
