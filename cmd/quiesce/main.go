package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1   // the job found errors, or could not be done
	exitUsage       = 2   // a bad flag, or input that can't be used
	exitInterrupted = 130 // ended early by SIGINT or SIGTERM, and clean
)

// streams are where a command writes: results to out, all else to err.
type streams struct{ out, err io.Writer }

// command is a subcommand.
type command struct {
	name     string
	synopsis string
	run      func(args []string, s streams) (status int)
}

// commands are the subcommands, in the order of the help text.
var commands = []command{
	{"demo", "kfree_rcu end to end on real files, with every figure that counts", runDemo},
	{"torture", "rcutorture: every kind of reader, updater and failure against each other", runTorture},
	{"lockdep", "the kernel's locking self-test, and the report that this project began with", runLockdep},
	{"compare", "the ways to do kfree_rcu that the mail weighs, beside each other", runCompare},
	{"scale", "rcuscale and refscale, and the table of what this library must reach", runScale},
	{"model", "what it would do on 8 to 512 processors, and where the design bends first", runModel},
}

func main() {
	os.Exit(dispatch(os.Args[1:], streams{os.Stdout, os.Stderr}))
}

// dispatch runs the subcommand that args name.
func dispatch(args []string, s streams) int {
	if len(args) == 0 {
		fmt.Fprint(s.err, help())
		return exitUsage
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help", "help":
		if name == "help" && len(args) > 1 {
			return dispatch([]string{args[1], "-h"}, s)
		}
		fmt.Fprint(s.out, help())
		return exitOK
	}
	for _, c := range commands {
		if c.name == name {
			return c.run(args[1:], s)
		}
	}
	what := "command"
	if strings.HasPrefix(name, "-") {
		what = "flag"
	}
	fmt.Fprintf(s.err, "quiesce: no such %s: %s (see quiesce -h)\n", what, name)
	return exitUsage
}

func help() string {
	var b strings.Builder
	b.WriteString(`quiesce: read-copy update, kfree_rcu and an off-heap allocator for Go

Usage: quiesce COMMAND [flags]

Commands:
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-8s  %s\n", c.name, c.synopsis)
	}
	b.WriteString("\n\"quiesce COMMAND -h\" tells more.\n")
	return b.String()
}
