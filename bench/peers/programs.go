package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The C programs' sources are in the binary: the command runs from anywhere.
//
//go:embed c
var sources embed.FS

// packages are what the C peers need, with a program that shows whether it is
// installed.
var packages = []struct{ name, probe, lib string }{
	{"liburcu-dev", "#include <urcu/urcu-memb.h>", "-lurcu-memb -lurcu-qsbr -lurcu-bp"},
	{"libck-dev", "#include <ck_epoch.h>", "-lck"},
	{"libjemalloc-dev", "", "-Wl,--no-as-needed -ljemalloc"},
	{"libmimalloc-dev", "", "-Wl,--no-as-needed -lmimalloc"},
}

// compilerPackages is what all of them need.
const compilerPackages = "gcc libc6-dev"

// compiler makes programs from c/, each once.
type compiler struct {
	dir    string
	cc     string
	absent map[string]string // package: why nothing that needs it is compiled
	made   map[string]string // a program's key: its file
	errs   map[string]error
}

// newCompiler looks for what the programs need. dir is for its
// files.
func newCompiler(ctx context.Context, dir string) (*compiler, error) {
	c := &compiler{dir: dir, absent: map[string]string{}, made: map[string]string{}, errs: map[string]error{}}
	if runtime.GOOS != "linux" {
		c.absent[compilerPackages] = "the C peers are measured on Linux only"
		return c, nil
	}
	var err error
	if c.cc, err = exec.LookPath("cc"); err != nil {
		c.absent[compilerPackages] = "no C compiler (cc)"
		return c, nil
	}
	entries, err := sources.ReadDir("c")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := sources.ReadFile("c/" + e.Name())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600); err != nil {
			return nil, err
		}
	}
	if !c.probe(ctx, "#include <stdlib.h>", "") {
		c.absent[compilerPackages] = "cc can't compile a C program"
		return c, nil
	}
	for _, p := range packages {
		if !c.probe(ctx, p.probe, p.lib) {
			c.absent[p.name] = "not installed"
		}
	}
	return c, ctx.Err()
}

func (c *compiler) probe(ctx context.Context, include, libs string) bool {
	file := filepath.Join(c.dir, "probe.c")
	if err := os.WriteFile(file, []byte(include+"\nint main(void) { return 0; }\n"), 0o600); err != nil {
		return false
	}
	args := append([]string{"-pthread", file, "-o", filepath.Join(c.dir, "probe")}, strings.Fields(libs)...)
	return exec.CommandContext(ctx, c.cc, args...).Run() == nil
}

// missing returns the package without which a program can't be built; "" if
// nothing is missing.
func (c *compiler) missing(p *program) string {
	for _, name := range append([]string{compilerPackages}, p.packages...) {
		if c.absent[name] != "" {
			return name
		}
	}
	return ""
}

// build returns a program's file.
func (c *compiler) build(ctx context.Context, p *program) (string, error) {
	sum := sha256.Sum256([]byte(fmt.Sprint(*p)))
	key := fmt.Sprintf("%x", sum[:6])
	if c.made[key] != "" || c.errs[key] != nil {
		return c.made[key], c.errs[key]
	}
	file := filepath.Join(c.dir, key)
	args := []string{"-O2", "-pthread", "-fno-builtin-malloc", "-fno-builtin-free"}
	for _, d := range p.defines {
		args = append(args, "-D"+d)
	}
	args = append(args, filepath.Join(c.dir, p.source), "-o", file)
	args = append(args, p.libs...)
	cmd := exec.CommandContext(ctx, c.cc, append(args, "-ldl")...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		c.errs[key] = fmt.Errorf("cc %s: %w: %s", p.source, err, firstLine(errs.String()))
		return "", c.errs[key]
	}
	c.made[key] = file
	return file, nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
