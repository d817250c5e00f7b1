package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every help text fits a terminal of 80 columns, and so does what a short run
// of each command prints.
func TestEverythingFits80Columns(t *testing.T) {
	var help func(c *cobra.Command)
	help = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		args := append(strings.Fields(c.CommandPath())[1:], "-h")
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			out, errs, status := quiesce(t, args...)
			if status != exitOK || errs != "" || out == "" {
				t.Errorf("status %d: %s", status, errs)
			}
			fits(t, out)
		})
		for _, sub := range c.Commands() {
			help(sub)
		}
	}
	help(newRoot(streams{}))

	for _, command := range []string{
		"torture -list",
		"torture -scenario PLANT-UAF,EXHAUST-LIMIT -duration 1s",
		"locktest -rebuild=false",
		"locktest -rebuild=false -run none",
		"locktest seed",
		"model", "nonsense", "demo -nonsense", "scale", "completion",
	} {
		t.Run(command, func(t *testing.T) {
			out, errs, _ := quiesce(t, strings.Fields(command)...)
			fits(t, out)
			fits(t, errs)
		})
	}
}

// The completion scripts name the commands' binary, and completing a word finds
// commands, old names apart, and flags.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, errs, status := quiesce(t, "completion", shell); status != exitOK || errs != "" || !strings.Contains(out, "quiesce") {
			t.Errorf("%s: status %d: %d bytes, %s", shell, status, len(out), errs)
		}
	}
	out, _, _ := quiesce(t, "__complete", "")
	contains(t, out, "demo\t", "torture\t", "locktest\t", "compare\t", "scale\t", "predict\t", "top\t", "completion\t")
	if strings.Contains(out, "lockdep\t") {
		t.Errorf("a former name is completed: %s", out)
	}
	for args, want := range map[string]string{"demo --dur": "--duration", "demo -dur": "--duration", "scale k": "kfree"} {
		out, _, _ := quiesce(t, append([]string{"__complete"}, strings.Fields(args)...)...)
		contains(t, out, want)
	}
}

// One dash or two, with the value after "=" or as the next argument; values
// that look like flags stay as they are.
func TestNormalize(t *testing.T) {
	root := newRoot(streams{})
	for in, want := range map[string]string{
		"demo -duration 10s -json":           "demo --duration 10s --json",
		"demo --duration=10s -json=false":    "demo --duration=10s --json=false",
		"demo -duration -1s":                 "demo --duration -1s",
		"locktest -run -foo -v":              "locktest --run -foo -v",
		"locktest --run -foo -v":             "locktest --run -foo -v",
		"scale kfree -kfree_loops 5 -nosuch": "scale kfree --kfree_loops 5 --nosuch",
		"demo -- -x":                         "demo -- -x",
		"-h":                                 "-h",
		"-help":                              "--help",
	} {
		if got := strings.Join(normalize(root, strings.Fields(in)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
