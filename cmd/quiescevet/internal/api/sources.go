package api

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind says what a section is.
type Kind int

// The kinds of sections.
const (
	Plain  Kind = iota // of a configuration: values are valid until it ends
	Read               // a read-side section
	Pinned             // nothing may block in it; it is a read-side section too
)

// Source describes one kind of section: what begins it, what ends it, and which
// functions return memory that is valid until then. Functions are named
// path.Func or path.Type.Method. Begin returns a token, which stands for the
// section, as a guard or a transaction does.
type Source struct {
	// Name is what messages call the section: "guard", "transaction".
	Name string `json:"name"`
	// Begin lists functions that begin a section and return its token, as
	// result number Token.
	Begin []string `json:"begin,omitempty"`
	Token int      `json:"token,omitempty"`
	// Values are the numbers of Begin's results that are valid until the end.
	Values []int `json:"values,omitempty"`
	// Lend lists functions that begin a section, call a function literal with
	// the token, and end the section. LendValues lists those that call it with
	// memory that is valid until it returns.
	Lend       []string `json:"lend,omitempty"`
	LendValues []string `json:"lendValues,omitempty"`
	// End lists methods of the token that end the section.
	End []string `json:"end,omitempty"`
	// Step lists methods after which what was borrowed earlier is dead, while
	// the section goes on: an iterator's Next.
	Step []string `json:"step,omitempty"`
	// Handle lists functions whose result stands for the section of their
	// receiver: Tx.Bucket.
	Handle []string `json:"handle,omitempty"`
	// Borrow lists functions whose results are valid until the section of their
	// receiver, or of an argument, ends. Each lists those that call a function
	// literal with such values.
	Borrow []string `json:"borrow,omitempty"`
	Each   []string `json:"each,omitempty"`

	Kind Kind `json:"-"`
	// Ends says that the section must be ended, and once.
	Ends bool `json:"-"`
	// Into maps functions that store borrowed values in a slice to the number
	// of that argument, receivers not counted.
	Into map[string]int `json:"-"`
	// Inside lists functions that call a literal inside such a section,
	// without a token.
	Inside []string `json:"-"`
}

// Config is what a file says.
type Config struct {
	Sources []*Source `json:"sources"`
}

// ConfigFile is the name of the file that is looked for in a package's
// directory and those above it.
const ConfigFile = "quiescevet.json"

// FindConfig returns the path of the nearest file of that name in dir or above
// it, or "".
func FindConfig(dir string) string {
	for {
		path := filepath.Join(dir, ConfigFile)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// ReadConfig reads a configuration and checks it.
func ReadConfig(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := ParseConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig is ReadConfig of a reader.
func ParseConfig(r io.Reader) (*Config, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	c := new(Config)
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	for i, s := range c.Sources {
		if s == nil || s.Name == "" {
			return nil, fmt.Errorf("source %d has no name", i)
		}
		if len(s.Begin)+len(s.Lend)+len(s.LendValues) == 0 {
			return nil, fmt.Errorf("source %q has none of begin, lend and lendValues", s.Name)
		}
		if len(s.Begin) > 0 && len(s.End) == 0 {
			return nil, fmt.Errorf("source %q has begin and no end", s.Name)
		}
		if s.Token < 0 || slices.ContainsFunc(s.Values, func(v int) bool { return v < 0 }) {
			return nil, fmt.Errorf("source %q: numbers of results begin with 0", s.Name)
		}
		for _, list := range [][]string{s.Begin, s.Lend, s.LendValues, s.End, s.Step, s.Handle, s.Borrow, s.Each} {
			for _, name := range list {
				if base := name[strings.LastIndex(name, "/")+1:]; !strings.Contains(base, ".") || strings.ContainsAny(name, "()* ") {
					return nil, fmt.Errorf("source %q: %q is not of the form path.Func or path.Type.Method", s.Name, name)
				}
			}
		}
	}
	return c, nil
}

// Role is what a function does in a Source.
type Role int

// The roles.
const (
	Begin Role = iota
	Lend
	LendValues
	End
	Step
	Handle
	Borrow
	Each
	Into
	Inside
)

// Use is one role of a function.
type Use struct {
	Source *Source
	Role   Role
	Arg    int // of Into
}

// Table finds the roles of a function by its name.
type Table map[string][]Use

// NewTable makes the table of the sources that are built in and of those given.
func NewTable(more []*Source) Table {
	t := Table{}
	for _, s := range slices.Concat(builtin(), more) {
		add := func(r Role, names []string) {
			for _, n := range names {
				t[n] = append(t[n], Use{Source: s, Role: r})
			}
		}
		add(Begin, s.Begin)
		add(Lend, s.Lend)
		add(LendValues, s.LendValues)
		add(End, s.End)
		add(Step, s.Step)
		add(Handle, s.Handle)
		add(Borrow, s.Borrow)
		add(Each, s.Each)
		add(Inside, s.Inside)
		for n, arg := range s.Into {
			t[n] = append(t[n], Use{Source: s, Role: Into, Arg: arg})
		}
	}
	return t
}

// Find returns a function's role of that kind in a source, or in any if s is
// nil.
func (t Table) Find(name string, r Role, s *Source) (Use, bool) {
	for _, u := range t[name] {
		if u.Role == r && (s == nil || u.Source == s) {
			return u, true
		}
	}
	return Use{}, false
}
