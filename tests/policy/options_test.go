package policy

import (
	"os"
	"strings"
	"testing"

	"quiesce/internal/option"
)

const optionsPage = "docs/guide/options.md"

// optionRow is an option's row of the page.
func optionRow(o option.Option) string {
	meaning := strings.ReplaceAll(o.Meaning, "|", `\|`)
	return "| `" + o.Name + "` | " + o.Form + " | " + o.Default + " | " + meaning + " | " + o.Builds + " |"
}

// The page's table is the table of package option, row by row.
func TestThePageOfOptionsIsTheTable(t *testing.T) {
	text, err := os.ReadFile(root + "/" + optionsPage)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, "| `") {
			rows = append(rows, strings.TrimSpace(l))
		}
	}
	for i, o := range option.Table {
		if want := optionRow(o); i >= len(rows) || rows[i] != want {
			t.Errorf("%s lacks, or has in another place:\n%s", optionsPage, want)
		}
	}
	if len(rows) != len(option.Table) {
		t.Errorf("%s has %d rows, the table %d", optionsPage, len(rows), len(option.Table))
	}
}

// Every example of the page is a list that the parser takes, but for those of
// bad ones.
func TestThePageOfOptionsHasGoodExamples(t *testing.T) {
	text, err := os.ReadFile(root + "/" + optionsPage)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for l := range strings.Lines(string(text)) {
		list, ok := strings.CutPrefix(l, "QUIESCE=")
		if !ok {
			continue
		}
		list, _, _ = strings.Cut(list, " ")
		n++
		if _, err := option.Parse(strings.TrimSpace(list)); err != nil {
			t.Error(err)
		}
	}
	if n < 5 {
		t.Errorf("%d examples", n)
	}
}
