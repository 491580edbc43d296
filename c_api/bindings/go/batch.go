package junto

// #include "bridge.h"
import "C"

import (
	"runtime"
	"time"
)

// Batch is sessions of one model that share each pass; each says what it would say alone.
type Batch struct {
	raw      *C.junto_batch
	services *services
}

// NewBatch makes room for so many sessions; 0 tokens ask for the default.
func (m *Model) NewBatch(maxSessions, maxTokensPerPass int) (*Batch, error) {
	defer runtime.KeepAlive(m)
	b := &Batch{services: m.services}
	_, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_batch_create(m.raw, C.uint32_t(maxSessions), C.uint32_t(maxTokensPerPass), &b.raw, err)
	})
	if err != nil {
		return nil, err
	}
	b.services.use()
	runtime.SetFinalizer(b, (*Batch).Close)
	return b, nil
}

// Close gives the batch back. Its sessions stay.
func (b *Batch) Close() {
	if b.raw != nil {
		C.junto_batch_release(b.raw)
		b.raw = nil
		b.services.leave()
	}
}

// Add may be called at any time, also while others are in the middle of their answers.
func (b *Batch) Add(s *Session) error {
	defer runtime.KeepAlive(b)
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_batch_add(b.raw, s.raw, err)
	})
	return err
}

// Remove leaves the session where it stands.
func (b *Batch) Remove(s *Session) error {
	defer runtime.KeepAlive(b)
	_, err := s.call(func(err *C.junto_error) C.junto_status {
		return C.junto_batch_remove(b.raw, s.raw, err)
	})
	return err
}

// Step works for about so long: Yielded, or Done when no session has work. Text waits in the
// sessions.
func (b *Batch) Step(budget time.Duration) (Outcome, error) {
	defer runtime.KeepAlive(b)
	status, err := call(func(err *C.junto_error) C.junto_status {
		return C.junto_batch_step(b.raw, nanoseconds(budget), nil, nil, err)
	})
	return Outcome(status), err
}
