package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
)

// patience is how long a build or a child may take to end before it is killed.
const patience = 10 * time.Second

// rebuilt builds this program with -tags lockdep and has it carry out the order.
// done is false if that can't be done, because there is no go command or no
// source of this program.
func rebuilt(r *run, o locktestOrder) (status int, done bool) {
	ctx := r.Context
	info, ok := debug.ReadBuildInfo()
	if !ok || !hasSource(ctx, info.Path) {
		return 0, false
	}
	dir, err := os.MkdirTemp("", "quiesce-locktest-")
	if err != nil {
		return 0, false
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(r.err, "quiesce locktest: building with -tags lockdep, to see readers too (-rebuild=false: don't)")
	binary := filepath.Join(dir, "quiesce")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := interruptibly(ctx, "go", append(append([]string{"build", "-o", binary}, buildFlags(info)...), info.Path)...)
	build.Env = append(os.Environ(), "GOTMPDIR="+dir) // what it leaves, interrupted, goes too
	var said bytes.Buffer
	build.Stdout, build.Stderr = &said, &said
	if err := build.Run(); err != nil {
		if ctx.Err() != nil {
			return exitInterrupted, true
		}
		fmt.Fprintf(r.err, "quiesce locktest: the build failed, continuing without the tag: %v\n%s", err, said.Bytes())
		return 0, false
	}

	e, err := kit.Pass(ctx, kit.Child{Command: append([]string{binary}, kit.ChildArgs("locktest")...), Grace: patience}, o, r.out, r.err)
	if err == nil && e.Code < 0 {
		err = e.Err
	}
	if err != nil {
		fmt.Fprintf(r.err, "quiesce locktest: the build with -tags lockdep did not run to its end: %v\n", err)
		return exitFailed, true
	}
	return e.Code, true
}

// hasSource reports whether the go command finds the source of this program
// from here.
func hasSource(ctx context.Context, pkg string) bool {
	if pkg == "" || pkg == "command-line-arguments" {
		return false
	}
	list := interruptibly(ctx, "go", "list", "-f", "{{.Dir}}", pkg)
	out, err := list.Output()
	return err == nil && strings.TrimSpace(string(out)) != ""
}

// interruptibly returns a command that the end of ctx interrupts.
func interruptibly(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = patience
	cmd.Cancel = func() error {
		if cmd.Process.Signal(os.Interrupt) != nil {
			return cmd.Process.Kill()
		}
		return nil
	}
	return cmd
}

// buildFlags returns the flags of this build, with the tag added.
func buildFlags(info *debug.BuildInfo) []string {
	tags := "lockdep"
	var flags []string
	for _, s := range info.Settings {
		switch {
		case s.Key == "-tags" && s.Value != "":
			tags = s.Value + "," + tags
		case s.Key == "-race" && s.Value == "true":
			flags = append(flags, "-race")
		}
	}
	return append(flags, "-tags", tags)
}
