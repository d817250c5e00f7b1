package kit

import "fmt"

// Step says how far a run is.
type Step struct {
	Phase       string // identifies the kind of work; a new phase starts a new bar
	Text        string // one line for people; empty at the end
	Done, Total int    // Total 0: not known, so no bar
}

// Progress receives steps, from one goroutine at a time. It may be nil.
type Progress func(Step)

// Report passes s on.
func (p Progress) Report(s Step) {
	if p != nil {
		p(s)
	}
}

// Say reports a step that has a text and nothing else.
func (p Progress) Say(format string, args ...any) {
	if p != nil {
		p(Step{Text: fmt.Sprintf(format, args...)})
	}
}
