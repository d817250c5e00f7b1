package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Package is one of Debian's packages that C programs need.
type Package struct {
	Name  string
	Probe string // a program's first lines that show whether it is installed
	Libs  string // what that program is linked with
}

// CompilerPackages is what all C programs need.
const CompilerPackages = "gcc libc6-dev"

// Program is a C program.
type Program struct {
	Source   string // its file among the sources
	Defines  []string
	Libs     []string
	Packages []string // Debian's, that it needs
}

// The header that all C programs share is in the binary: a command runs from
// anywhere.
//
//go:embed c/peers.h
var header []byte

// Compiler makes C programs, each once.
type Compiler struct {
	dir    string
	cc     string
	Absent map[string]string // package: why nothing that needs it is compiled
	made   map[string]string // a program's key: its file
	errs   map[string]error
}

// NewCompiler looks for what the programs need. dir is for its files; sources
// holds the programs' files, and nothing else. They may include peers.h.
func NewCompiler(ctx context.Context, dir string, sources fs.FS, packages []Package) (*Compiler, error) {
	c := &Compiler{dir: dir, Absent: map[string]string{}, made: map[string]string{}, errs: map[string]error{}}
	if runtime.GOOS != "linux" {
		c.Absent[CompilerPackages] = "the C peers are measured on Linux only"
		return c, nil
	}
	var err error
	if c.cc, err = exec.LookPath("cc"); err != nil {
		c.Absent[CompilerPackages] = "no C compiler (cc)"
		return c, nil
	}
	if err := os.WriteFile(filepath.Join(dir, "peers.h"), header, 0o600); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(sources, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(sources, e.Name())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600); err != nil {
			return nil, err
		}
	}
	if !c.probe(ctx, "#include <stdlib.h>", "") {
		c.Absent[CompilerPackages] = "cc can't compile a C program"
		return c, nil
	}
	for _, p := range packages {
		if !c.probe(ctx, p.Probe, p.Libs) {
			c.Absent[p.Name] = "not installed"
		}
	}
	return c, ctx.Err()
}

func (c *Compiler) probe(ctx context.Context, include, libs string) bool {
	file := filepath.Join(c.dir, "probe.c")
	if err := os.WriteFile(file, []byte(include+"\nint main(void) { return 0; }\n"), 0o600); err != nil {
		return false
	}
	args := append([]string{"-pthread", file, "-o", filepath.Join(c.dir, "probe")}, strings.Fields(libs)...)
	return exec.CommandContext(ctx, c.cc, args...).Run() == nil
}

// Missing returns the package without which a program can't be built; "" if
// nothing is missing.
func (c *Compiler) Missing(p *Program) string {
	for _, name := range append([]string{CompilerPackages}, p.Packages...) {
		if c.Absent[name] != "" {
			return name
		}
	}
	return ""
}

// Build returns a program's file.
func (c *Compiler) Build(ctx context.Context, p *Program) (string, error) {
	sum := sha256.Sum256([]byte(fmt.Sprint(*p)))
	key := fmt.Sprintf("%x", sum[:6])
	if c.made[key] != "" || c.errs[key] != nil {
		return c.made[key], c.errs[key]
	}
	file := filepath.Join(c.dir, key)
	args := []string{"-O2", "-pthread", "-fno-builtin-malloc", "-fno-builtin-free"}
	for _, d := range p.Defines {
		args = append(args, "-D"+d)
	}
	args = append(args, filepath.Join(c.dir, p.Source), "-o", file)
	args = append(args, p.Libs...)
	cmd := exec.CommandContext(ctx, c.cc, append(args, "-ldl")...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		c.errs[key] = fmt.Errorf("cc %s: %w: %s", p.Source, err, FirstLine(errs.String()))
		return "", c.errs[key]
	}
	c.made[key] = file
	return file, nil
}
