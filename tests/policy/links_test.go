package policy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// pages returns the repository's Markdown files, from the root, with slashes.
func pages(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == "testdata" || strings.HasPrefix(n, ".") && n != ".." && n != ".github" {
				if path != root {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if strings.HasSuffix(path, ".md") {
			rel, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 9 {
		t.Fatalf("only %d pages", len(names))
	}
	return names
}

// prose returns a page's lines with those of code blocks empty.
func prose(text string) []string {
	lines, code := strings.Split(text, "\n"), false
	for i, l := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(l), "```")
		if fence || code {
			lines[i] = ""
		}
		if fence {
			code = !code
		}
	}
	return lines
}

var (
	pageLink   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	inlineCode = regexp.MustCompile("`[^`]*`")
)

// anchors returns the names of a page's headings as its links have them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, l := range prose(text) {
		if h := strings.TrimLeft(l, "#"); h != l && strings.HasPrefix(h, " ") {
			name := notAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(h)), "")
			all[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return all
}

func TestLinksOfThePagesResolve(t *testing.T) {
	n := 0
	for _, page := range pages(t) {
		text := read(t, page)
		for i, l := range prose(text) {
			for _, m := range pageLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(l, ""), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				n++
				name, anchor, _ := strings.Cut(m[1], "#")
				target := page
				if name != "" {
					target = filepath.Join(filepath.Dir(page), name)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s:%d: link to %s, which does not exist", page, i+1, m[1])
				} else if anchor != "" && !anchors(read(t, target))[anchor] {
					t.Errorf("%s:%d: link to %s, which has no such heading", page, i+1, m[1])
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d links", n)
	}
}

// maxColumns is how wide prose may be. Tables, code and lines that are one
// word, such as a long address, may be wider.
const maxColumns = 100

func TestProseOfThePagesFitsItsColumns(t *testing.T) {
	for _, page := range pages(t) {
		if strings.HasPrefix(page, "docs/measured/") {
			continue // dated figures, with what commands print
		}
		for i, l := range prose(read(t, page)) {
			long := utf8.RuneCountInString(l) > maxColumns
			if long && !strings.HasPrefix(l, "|") && strings.Contains(strings.TrimSpace(l), " ") {
				t.Errorf("%s:%d has %d columns, more than %d", page, i+1, utf8.RuneCountInString(l), maxColumns)
			}
		}
	}
}

// README is an entrance.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n > 150 {
		t.Errorf("README.md has %d lines, more than 150", n)
	}
}
