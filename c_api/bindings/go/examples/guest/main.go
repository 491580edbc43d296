// An answer in memory that the program counts, worked out by its own goroutines: nothing is taken
// behind its back. Usage: guest MODEL.gguf QUESTION [TOKENS]
package main

// #include <stdlib.h>
import "C"

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"junto"
)

// memory is C's heap, counted.
type memory struct{ bytes, calls int64 }

func (m *memory) Allocate(size, alignment uintptr, _ junto.Tag) unsafe.Pointer {
	p := C.aligned_alloc(C.size_t(alignment), C.size_t((size+alignment-1)/alignment*alignment))
	if p != nil {
		atomic.AddInt64(&m.bytes, int64(size))
		atomic.AddInt64(&m.calls, 1)
	}
	return p
}

func (m *memory) Deallocate(p unsafe.Pointer, size, _ uintptr, _ junto.Tag) {
	atomic.AddInt64(&m.bytes, -int64(size))
	C.free(p)
}

// pool is goroutines that wait for work.
type pool struct {
	work  []chan junto.Tasks
	done  sync.WaitGroup
	loops int
}

func newPool(workers int) *pool {
	p := &pool{work: make([]chan junto.Tasks, workers-1)}
	for i := range p.work {
		p.work[i] = make(chan junto.Tasks)
		go func(worker int, work chan junto.Tasks) {
			for tasks := range work {
				tasks.Work(worker)
				p.done.Done()
			}
		}(i+1, p.work[i])
	}
	return p
}

func (p *pool) Workers() int { return len(p.work) + 1 }

func (p *pool) Run(tasks junto.Tasks) {
	p.loops++
	p.done.Add(len(p.work))
	for _, work := range p.work {
		work <- tasks
	}
	tasks.Work(0)
	p.done.Wait()
}

func (p *pool) close() {
	for _, work := range p.work {
		close(work)
	}
}

func answer(options *junto.Options, calls *int64, path, question string, tokens uint32) error {
	runtime, err := junto.NewRuntime(options)
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
	if err := prompt.Turn("user", question); err != nil {
		return err
	}
	if err := session.Prefill(prompt); err != nil {
		return err
	}
	before := atomic.LoadInt64(calls)
	stream := session.Stream(context.Background())
	for stream.Next() {
		fmt.Print(stream.Text())
	}
	fmt.Println()
	fmt.Fprintln(os.Stderr, atomic.LoadInt64(calls)-before, "allocations while it answered")
	return stream.Err()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: guest MODEL.gguf QUESTION [TOKENS]")
	}
	tokens := 0
	if len(os.Args) > 3 {
		tokens, _ = strconv.Atoi(os.Args[3])
	}
	counting, threads := &memory{}, newPool(2)
	options := &junto.Options{Allocator: counting, Executor: threads, StrictMemory: true}
	if err := answer(options, &counting.calls, os.Args[1], os.Args[2], uint32(tokens)); err != nil {
		log.Fatal(err)
	}
	threads.close()
	fmt.Fprintln(os.Stderr, threads.loops, "loops on goroutines of our own")
	fmt.Fprintln(os.Stderr, counting.bytes, "bytes left")
}
