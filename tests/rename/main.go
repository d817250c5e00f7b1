// Rename gives the module a path of your own:
//
//	go run ./tests/rename example.org/you/quiesce
//
// It rewrites module paths in go.mod files, imports, and import paths and
// symbols in strings, comments and pages: the old path followed by one of the
// repository's directories. File paths (cmd/quiesce/internal/demo), panic
// texts (quiesce/slab: …) and the command's name stay. Run it again to rename
// once more; git diff shows what it did.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./tests/rename MODULE")
		os.Exit(2)
	}
	n, err := rename(".", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
	fmt.Printf("%d files changed; now: go build ./... && go test ./tests/policy\n", n)
}

var (
	moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)
	modulePath = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9][A-Za-z0-9._~-]*)*$`)
)

// rename changes the files below root and returns how many.
func rename(root, to string) (n int, err error) {
	if !modulePath.MatchString(to) {
		return 0, fmt.Errorf("%q is no module path", to)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return 0, err
	}
	m := moduleLine.FindSubmatch(mod)
	if m == nil {
		return 0, errors.New("go.mod names no module")
	}
	if string(m[1]) == to {
		return 0, fmt.Errorf("the module is called %s already", to)
	}
	files, dirs, err := tree(root)
	if err != nil {
		return 0, err
	}
	e := newEditor(string(m[1]), to, dirs)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return n, err
		}
		changed := e.edit(name, string(text))
		if changed == string(text) {
			continue
		}
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			return n, err
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(changed), info.Mode().Perm()); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// tree lists the files to rewrite, and the directories that have Go files or
// such directories below them. Names have slashes.
func tree(root string) (files, dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if n := d.Name(); rel != "." && (n == ".git" || n == "testdata" || rel == "tests/rename") {
				return filepath.SkipDir // this program's test has paths of modules that are not there
			}
			return nil
		}
		switch filepath.Ext(rel) {
		case ".go":
			for dir := filepath.ToSlash(filepath.Dir(rel)); dir != "."; dir = filepath.ToSlash(filepath.Dir(dir)) {
				if !slices.Contains(dirs, dir) {
					dirs = append(dirs, dir)
				}
			}
			files = append(files, rel)
		case ".mod", ".work", ".md", ".yml":
			files = append(files, rel)
		}
		return nil
	})
	return files, dirs, err
}

// editor replaces one module path by another.
type editor struct {
	from, to string
	used     *regexp.Regexp // the old path and a directory
	alone    *regexp.Regexp // in go.mod: the old path, or with a directory
}

func newEditor(from, to string, dirs []string) *editor {
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) }) // the longest first
	for i, d := range dirs {
		dirs[i] = regexp.QuoteMeta(d)
	}
	quoted, any := regexp.QuoteMeta(from), "(?:"+strings.Join(dirs, "|")+")"
	return &editor{
		from: from, to: to,
		used:  regexp.MustCompile(`(^|[^A-Za-z0-9_./-])` + quoted + `/(` + any + `)([^A-Za-z0-9_/-]|$)`),
		alone: regexp.MustCompile(`(^|\s)` + quoted + `(/` + any + `)?(\s|$)`),
	}
}

func (e *editor) edit(name, text string) string {
	if filepath.Ext(name) == ".mod" {
		lines := strings.SplitAfter(text, "\n")
		for i, l := range lines {
			for e.alone.MatchString(l) && !strings.Contains(l, e.to+" ") && !strings.Contains(l, e.to+"\n") {
				l = e.alone.ReplaceAllString(l, "${1}"+e.to+"${2}${3}")
			}
			lines[i] = l
		}
		return strings.Join(lines, "")
	}
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		lines[i] = e.line(l)
	}
	text = strings.Join(lines, "")
	if name == "README.md" {
		text = e.install(text)
	}
	return text
}

// line replaces every import path and symbol. Two may share the character
// between them, so matches are found one after the other.
func (e *editor) line(l string) string {
	var out strings.Builder
	for {
		m := e.used.FindStringSubmatchIndex(l)
		if m == nil {
			return out.String() + l
		}
		rest := l[m[5]:] // after the directory
		if strings.HasPrefix(rest, ": ") {
			out.WriteString(l[:m[5]]) // the beginning of a panic's text
		} else {
			out.WriteString(l[:m[3]] + e.to + "/" + l[m[4]:m[5]])
		}
		l = rest
		if l == "" {
			return out.String()
		}
	}
}

// install replaces what README says about a module without a home.
func (e *editor) install(text string) string {
	before, rest, ok := strings.Cut(text, "## Install\n")
	_, after, ok2 := strings.Cut(rest, "\n## ")
	if !ok || !ok2 || !strings.Contains(strings.SplitN(e.to, "/", 2)[0], ".") {
		return text
	}
	return before + "## Install\n\n```sh\ngo get " + e.to + "\n```\n\n## " + after
}
