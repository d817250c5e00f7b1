package harness

import (
	"errors"
	"fmt"
	"io"
)

// ExitWrong is a child's status after a wrong result.
const ExitWrong = 3

// WrongError says what result was wrong.
type WrongError struct{ What string }

func (e WrongError) Error() string { return "WRONG RESULT: " + e.What }

// ChildStatus returns the exit status of a child that ended with err, which it
// writes. Without an error it first calls ok.
func ChildStatus(err error, errs io.Writer, ok func()) int {
	var wrong WrongError
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(errs, err)
		return ExitWrong
	case err != nil:
		fmt.Fprintln(errs, err)
		return ExitFailed
	}
	ok()
	return ExitOK
}
