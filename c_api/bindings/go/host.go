package junto

// #include "bridge.h"
import "C"

import (
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

// services is what a runtime's callbacks use, until the last handle under it is closed.
type services struct {
	allocator Allocator
	executor  Executor
	handle    cgo.Handle
	users     int32
}

func newServices(allocator Allocator, executor Executor) *services {
	s := &services{allocator: allocator, executor: executor}
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
