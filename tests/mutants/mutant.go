package main

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"quiesce/internal/sys"
	"quiesce/tests/internal/overlay"
)

// mutant is one way to break the library.
type mutant struct {
	Name   string // in words joined by hyphens
	Breaks string // the guarantee that does not hold any more, in a few words
	File   string // what is changed, from the root
	In     string // the function that is changed: name, or type.name of a method
	Edits  []edit // all of them are made
	Killer killer
}

// edit replaces one text by another. The text to replace is compared token by
// token, so that comments, line ends and delays (fault.Delay("tag"), guarded by if
// fault.Delays or not) between its tokens don't matter; they are replaced with it.
// It must occur exactly once: in the function that the mutant names, or, if the
// edit's own In is set, in that one, or, if that is "file", in the whole file. In
// assembly the text is compared as it is, with the whole file.
type edit struct {
	Before, After string
	In            string
}

// killer is the command that must fail when the mutant is compiled in, and
// pass otherwise.
type killer struct {
	Pkg   string        // directory from the root
	Tests string        // names of tests, separated by |, as for go test -run
	Flags []string      // of the build: -race, -tags=delay
	Env   []string      // name=value
	Count int           // go test -count; 0 is 1
	Limit time.Duration // of one run; 0 is defaultLimit
	Alone bool          // nothing else runs at the same time: it needs two processors for itself

	// How the mutant shows. By default a test fails; otherwise the process
	// dies and says this, or (hangs) it does not end within the limit.
	Dies  string
	Hangs bool
}

const defaultLimit = 40 * time.Second

//go:embed *.toml
var lists embed.FS

// all is what the lists have, without mutants of assembly that is not in this
// system's builds.
func all() (ms []mutant, err error) {
	names, err := fs.Glob(lists, "*.toml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var list struct{ Mutant []mutant }
		known, err := toml.DecodeFS(lists, name, &list)
		if err != nil {
			return nil, fmt.Errorf("tests/mutants/%s: %w", name, err)
		}
		if keys := known.Undecoded(); len(keys) > 0 {
			return nil, fmt.Errorf("tests/mutants/%s: unknown keys %v", name, keys)
		}
		for _, m := range list.Mutant {
			if !m.inAssembly() || sys.Leaves && strings.HasSuffix(m.File, "_"+runtime.GOARCH+".s") {
				ms = append(ms, m)
			}
		}
	}
	return ms, nil
}

// bound is the limit of one run.
func (k killer) bound() time.Duration {
	if k.Limit == 0 {
		return defaultLimit
	}
	return k.Limit
}

// tok is a token with its place in the text.
type tok struct {
	text     string
	from, to int
}

// tokens cuts a Go text into tokens, without comments, line ends and
// delays.
func tokens(text string) ([]tok, error) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	f := fset.AddFile("", -1, len(text))
	var first error
	s.Init(f, []byte(text), func(_ token.Position, msg string) {
		if first == nil {
			first = fmt.Errorf("%s", msg)
		}
	}, 0)
	var all []tok
	for {
		pos, t, lit := s.Scan()
		if t == token.EOF {
			break
		}
		if t == token.SEMICOLON && lit != ";" {
			continue // of a line's end
		}
		if lit == "" {
			lit = t.String()
		}
		at := f.Offset(pos)
		all = append(all, tok{lit, at, at + len(lit)})
		all = dropHook(all)
	}
	return all, first
}

// hooks are the two forms of a delay: in fast paths a constant guards it.
var hooks = [][]string{
	strings.Fields(`fault . Delay ( * )`),
	strings.Fields(`if fault . Delays { }`), // what the first form leaves
}

// dropHook drops a delay at the end of the tokens.
func dropHook(all []tok) []tok {
	for _, h := range hooks {
		rest := len(all) - len(h)
		if rest < 0 {
			continue
		}
		is := true
		for i := range h {
			is = is && (h[i] == "*" || all[rest+i].text == h[i])
		}
		if is {
			return all[:rest]
		}
	}
	return all
}

// apply makes the edits of a mutant in the text of its file.
func (m mutant) apply(text string) (string, error) {
	for i, e := range m.Edits {
		in := m.In
		if e.In != "" {
			in = e.In
		}
		place := find
		if m.inAssembly() {
			place = findText
		}
		from, to, err := place(text, in, e.Before)
		if err != nil {
			return "", fmt.Errorf("mutant %s, edit %d: %s: %w", m.Name, i+1, m.File, err)
		}
		text = text[:from] + e.After + text[to:]
	}
	return text, nil
}

// inAssembly reports whether the mutant is one of the code in assembly.
func (m mutant) inAssembly() bool { return strings.HasSuffix(m.File, ".s") }

// findText is find in a file that is not Go, and has no functions to look in.
func findText(text, _, want string) (from, to int, err error) {
	if n := strings.Count(text, want); n != 1 {
		return 0, 0, fmt.Errorf("%q occurs %d times, not once", want, n)
	}
	from = strings.Index(text, want)
	return from, from + len(want), nil
}

// find returns the place of the one occurrence of want in a function.
func find(text, in, want string) (from, to int, err error) {
	lo, hi := 0, len(text)
	if in != "file" {
		if lo, hi, err = function(text, in); err != nil {
			return 0, 0, err
		}
	}
	have, err := tokens(text)
	if err != nil {
		return 0, 0, err
	}
	seek, err := tokens(want)
	if err != nil || len(seek) == 0 {
		return 0, 0, fmt.Errorf("%q is no Go text: %v", want, err)
	}
	found := 0
	for i := range have {
		if have[i].from < lo || have[i].to > hi || i+len(seek) > len(have) || !same(have[i:i+len(seek)], seek) {
			continue
		}
		from, to = have[i].from, have[i+len(seek)-1].to
		found++
	}
	if found != 1 {
		return 0, 0, fmt.Errorf("in %s, %q occurs %d times, not once", in, want, found)
	}
	return from, to, nil
}

func same(a, b []tok) bool {
	for i := range b {
		if a[i].text != b[i].text {
			return false
		}
	}
	return true
}

// function returns where the declaration of a function is in a file.
func function(text, name string) (from, to int, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if err != nil {
		return 0, 0, err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && overlay.FuncName(fn) == name {
			return fset.Position(fn.Pos()).Offset, fset.Position(fn.End()).Offset, nil
		}
	}
	return 0, 0, fmt.Errorf("no function %s", name)
}
