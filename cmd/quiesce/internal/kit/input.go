package kit

import "fmt"

// InputError is an error in what the user gave: a flag, a file, a parameter.
// The command reports it as bad usage.
type InputError struct{ msg string }

func (e *InputError) Error() string { return e.msg }

// BadInput returns an [InputError].
func BadInput(format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...)}
}
