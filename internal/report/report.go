// Package report has what lockdep's reports and those of poison builds have in
// common: what follows one that no reporter takes.
//
// A report is only text, and go test shows no text of a package that passes.
// So in a test binary such a report ends the run: every report is a failure,
// whatever goroutine it is on, and even where panics are recovered.
package report

import (
	"os"

	"quiesce/internal/option"
	"quiesce/internal/sys"
)

// Untaken is called after a report was written that no reporter took. It panics
// if QUIESCE=panic_on_report=1 asks for that, and ends a test binary, unless
// QUIESCE=panic_on_report=0 says otherwise. pkg and headline are for the panic.
//
// Context: any, also with locks held.
func Untaken(pkg, headline string) {
	value, set := option.Text("panic_on_report")
	switch {
	case value == "1":
		panic("quiesce/" + pkg + ": QUIESCE=panic_on_report: " + headline)
	case !set && sys.InTest:
		// The builtin works while pinned, where os.Stderr does not.
		print("quiesce: the report above ends this test run; slabtest.Check and lockdeptest.Check make a report a test's failure, and with QUIESCE=panic_on_report=0 it is none\n")
		os.Exit(1)
	}
}

// Validate checks every object of every cache that is open, and reports what
// it finds. Package slab sets it in builds that can.
//
// Context: task; not pinned.
var Validate = func() {}
