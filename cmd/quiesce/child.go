package main

import (
	"fmt"
	"os"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
	"quiesce/cmd/quiesce/internal/torture"
)

// child runs this process as the child of another one (see [kit.ChildArgs]),
// and returns its exit status.
func child(job string, s streams) int {
	switch job {
	case "torture":
		return torture.Child(os.Stdin, s.out, s.err)
	case "compare":
		return compare.Child(os.Stdin, s.out)
	case "misses":
		if err := scale.MissesChild(os.Stdin); err != nil {
			fmt.Fprintf(s.err, "quiesce scale misses: %v\n", err)
			return exitFailed
		}
		return exitOK
	case "locktest":
		return locktestChild(s)
	}
	fmt.Fprintf(s.err, "quiesce: a child process has no job %q\n", job)
	return exitUsage
}

// childCommand returns the command that runs this program as a child.
func childCommand(job string) ([]string, error) {
	self, err := os.Executable()
	return append([]string{self}, kit.ChildArgs(job)...), err
}
