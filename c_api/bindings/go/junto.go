// Package junto runs language models on the CPU, inside this process.
//
//	runtime, err := junto.NewRuntime(nil)
//	model, err := runtime.Load("model.gguf")
//	session, err := model.NewSession(nil)
//	prompt, err := model.NewPrompt()
//	err = prompt.Turn("user", "Why is the sky blue?")
//	err = session.Prefill(prompt)
//	err = session.Generate(ctx, func(chunk junto.Chunk) error {
//		fmt.Print(chunk.Text)
//		return nil
//	})
//
// Runtime and Model may be used by all goroutines at once, a Session or a Prompt by one at a time;
// the library answers Busy otherwise. Close gives memory back, in any order; what is forgotten the
// collector closes, when it comes by. junto.h has the whole contract.
//
// The library is found as cgo finds any: CGO_LDFLAGS=-L... where it is not installed.
package junto

// #cgo CFLAGS: -I${SRCDIR}/../.. -std=c11
// #cgo LDFLAGS: -ljunto
// #include <junto.h>
import "C"

import (
	"syscall"
	"unsafe"
)

// Status says what kind of failure an Error is: errors.Is(err, junto.Memory).
type Status int32

// The failures of junto.h.
const (
	Invalid     Status = C.JUNTO_E_INVALID
	Memory      Status = C.JUNTO_E_MEMORY
	IO          Status = C.JUNTO_E_IO
	Format      Status = C.JUNTO_E_FORMAT
	Unsupported Status = C.JUNTO_E_UNSUPPORTED
	ShortBuffer Status = C.JUNTO_E_SHORT_BUFFER
	ContextFull Status = C.JUNTO_E_CONTEXT_FULL
	Busy        Status = C.JUNTO_E_BUSY
	Mismatch    Status = C.JUNTO_E_MISMATCH
	Callback    Status = C.JUNTO_E_CALLBACK
	Internal    Status = C.JUNTO_E_INTERNAL
)

func (s Status) Error() string { return C.GoString(C.junto_status_name(C.junto_status(s))) }

// Error is what a call failed with.
type Error struct {
	Status  Status
	OSError syscall.Errno // of a failed file operation, else 0
	Message string        // one line that states a fact and a number
}

func (e *Error) Error() string { return e.Message }

// Is tells whether the failure is of a kind.
func (e *Error) Is(target error) bool { return target == e.Status }

// Unwrap is the failure of the operating system, if it was one.
func (e *Error) Unwrap() error {
	if e.OSError == 0 {
		return nil
	}
	return e.OSError
}

// Version is major, minor and patch of the library that is loaded.
func Version() (major, minor, patch int) {
	v := int(C.junto_version())
	return v >> 16, v >> 8 & 255, v & 255
}

// call runs a function that takes an error last; its status, if that is no failure.
func call(function func(*C.junto_error) C.junto_status) (C.junto_status, error) {
	var raw C.junto_error
	C.junto_error_init(&raw, C.size_t(unsafe.Sizeof(raw)))
	status := function(&raw)
	if status >= 0 {
		return status, nil
	}
	message := C.GoString(&raw.message[0])
	return status, &Error{Status(status), syscall.Errno(raw.os_error), message}
}

// failure is the error of a status that comes without one.
func failure(status C.junto_status) error {
	if status >= 0 {
		return nil
	}
	return &Error{Status: Status(status), Message: Status(status).Error()}
}

// chars is text as C takes it. The library never looks beyond its length.
func chars(text string) (*C.char, C.size_t) {
	bytes := make([]byte, len(text)+1)
	copy(bytes, text)
	return (*C.char)(unsafe.Pointer(&bytes[0])), C.size_t(len(text))
}

// numbers is tokens as C takes them.
func numbers(tokens []int32) (*C.junto_token, C.size_t) {
	if len(tokens) == 0 {
		tokens = make([]int32, 1)[:1]
		return (*C.junto_token)(unsafe.Pointer(&tokens[0])), 0
	}
	return (*C.junto_token)(unsafe.Pointer(&tokens[0])), C.size_t(len(tokens))
}

// fetch asks a function for its size, then for its bytes.
func fetch(function func(unsafe.Pointer, C.size_t, *C.size_t, *C.junto_error) C.junto_status) ([]byte, error) {
	var size C.size_t
	ask := func(err *C.junto_error) C.junto_status { return function(nil, 0, &size, err) }
	if _, err := call(ask); err != nil {
		return nil, err
	}
	bytes := make([]byte, int(size)+1)
	_, err := call(func(err *C.junto_error) C.junto_status {
		return function(unsafe.Pointer(&bytes[0]), size, &size, err)
	})
	return bytes[:size], err
}
