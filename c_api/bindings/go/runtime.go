package junto

// #include "bridge.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Options says how a runtime is made. What is absent is Junto's own.
type Options struct {
	Allocator    Allocator
	Executor     Executor
	Files        Files
	Log          func(LogLevel, string) // hears lines on any thread; must not call Junto
	LogLevel     LogLevel               // what it hears: this and what is graver
	MaxThreads   int                    // of Junto's own threads, the caller included; 0 = one per core
	MemoryLimit  uint64                 // bytes over all tags; 0 = none
	StrictMemory bool                   // nothing is taken behind the allocator; needs an executor or MaxThreads 1
}

// Runtime has the services of the host.
type Runtime struct {
	raw      *C.junto_runtime
	services *services
}

// NewRuntime makes a runtime; nil asks for malloc, a thread per core, and the system's files.
func NewRuntime(options *Options) (*Runtime, error) {
	if options == nil {
		options = &Options{}
	}
	var desc C.junto_runtime_desc
	C.junto_runtime_desc_init(&desc, C.size_t(unsafe.Sizeof(desc)))
	desc.max_threads = C.uint32_t(options.MaxThreads)
	desc.memory_limit = C.uint64_t(options.MemoryLimit)
	if options.StrictMemory {
		desc.flags |= C.JUNTO_RUNTIME_STRICT_MEMORY
	}
	var own, workers C.uint32_t
	if options.Allocator != nil {
		own |= C.JUNTO_GO_ALLOCATOR
	}
	if options.Files != nil {
		own |= C.JUNTO_GO_FILES
	}
	if options.Log != nil {
		own |= C.JUNTO_GO_LOG
		desc.log_level = C.junto_log_level(options.LogLevel)
	}
	if options.Executor != nil {
		workers = C.uint32_t(options.Executor.Workers())
	}
	r := &Runtime{services: newServices(options)}
	_, err := call(func(err *C.junto_error) C.junto_status {
		handle := C.uintptr_t(r.services.handle)
		return C.junto_go_runtime_create(&desc, handle, own, workers, &r.raw, err)
	})
	if err != nil {
		r.services.leave()
		return nil, err
	}
	runtime.SetFinalizer(r, (*Runtime).Close)
	return r, nil
}

// Close gives the runtime back. Models and sessions keep what they need of it.
func (r *Runtime) Close() {
	if r.raw != nil {
		C.junto_runtime_release(r.raw)
		r.raw = nil
		r.services.leave()
	}
}

// Load loads a GGUF or packed file.
func (r *Runtime) Load(path string) (*Model, error) {
	defer runtime.KeepAlive(r)
	name, size := chars(path)
	m := &Model{services: r.services}
	_, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_model_load(r.raw, name, size, nil, &m.raw, err)
	})
	if err != nil {
		return nil, err
	}
	m.services.use()
	runtime.SetFinalizer(m, (*Model).Close)
	return m, nil
}

// Memory tells the bytes in use and the most ever in use under a tag.
func (r *Runtime) Memory(tag Tag) (current, peak uint64, err error) {
	defer runtime.KeepAlive(r)
	var now, most C.uint64_t
	err = failure(C.junto_runtime_memory(r.raw, C.junto_tag(tag), &now, &most))
	return uint64(now), uint64(most), err
}
