package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"quiesce/cmd/quiesce/internal/kit"
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

func main() {
	s := streams{os.Stdout, os.Stderr}
	if job, ok := kit.ChildJob(os.Args[1:]); ok {
		os.Exit(child(job, s))
	}
	os.Exit(dispatch(os.Args[1:], s))
}

// dispatch runs the subcommand that args name.
func dispatch(args []string, s streams) (status int) {
	root := newRoot(s)
	root.SetArgs(normalize(root, args))
	c, err := root.ExecuteC()
	var code exitStatus
	var bad *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &bad):
		if !bad.bare {
			err = fmt.Errorf("%w (see %s -h)", err, c.CommandPath())
		}
		fmt.Fprintf(s.err, "%s: %v\n", c.CommandPath(), err)
		return exitUsage
	}
	fmt.Fprintf(s.err, "%s: %v\n", c.CommandPath(), err)
	return exitFailed
}

// newRoot makes the tree of commands, in the order of the help text.
func newRoot(s streams) *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:           "quiesce COMMAND [flags]",
		Short:         "read-copy update, kfree_rcu and an off-heap allocator for Go",
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,

		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noSuchCommand(c, args[0])
			}
			fmt.Fprint(s.err, helpText(c))
			return exitStatus(exitUsage)
		},
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { fmt.Fprint(s.out, helpText(c)) })
	root.SetHelpCommand(helpCommand(s))
	locktest := locktestJob.command(s)
	locktest.AddCommand(seedJob.command(s))
	root.AddCommand(
		demoJob.command(s),
		tortureJob.command(s),
		locktest,
		compareJob.command(s),
		scaleCommand(s),
		predictJob.command(s),
		topJob.command(s),
		completionCommand(s),
	)
	for old, now := range renamed {
		root.AddCommand(renamedCommand(old, now))
	}
	return root
}

// renamed are former names of commands.
var renamed = map[string]string{
	"model":    "predict",
	"lab":      "compare",
	"selftest": "locktest",
	"lockdep":  "locktest",
}

// renamedCommand answers to a former name.
func renamedCommand(old, now string) *cobra.Command {
	return &cobra.Command{
		Use:                old,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return &usageError{msg: "this command is now called quiesce " + now, bare: true}
		},
	}
}

func noSuchCommand(c *cobra.Command, name string) error {
	msg := "no such command: " + name
	if near := c.SuggestionsFor(name); len(near) > 0 {
		msg += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{msg: msg}
}

// helpCommand is "quiesce help [COMMAND]".
func helpCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "what a command does, its flags, and examples",
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noSuchCommand(c.Root(), strings.Join(args, " "))
			}
			fmt.Fprint(s.out, helpText(about))
			return nil
		},
	}
}
