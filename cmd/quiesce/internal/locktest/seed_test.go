package locktest

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"testing"

	"quiesce/lockdep"
)

var update = flag.Bool("update", false, "write the golden files of this build anew")

// masks are what differs from run to run and from machine to machine.
var masks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`goroutine \d+`), "goroutine N"},
	{regexp.MustCompile(`0x[0-9a-f]+`), "0xADDR"},
	{regexp.MustCompile(`(?:/[^\s:]*/)?(\w+\.go):\d+`), "$1:LINE"},
	{regexp.MustCompile(`(?m)^(?:go|devel )\S* \w+/\w+( -tags lockdep)? preempt_rt=\d$`), "go os/arch$1 preempt_rt=N"},
	{regexp.MustCompile(`\d+ pages later`), "N pages later"},
	{regexp.MustCompile(`fallback chain: \d+ of \d+`), "fallback chain: N of N"},
	{regexp.MustCompile(`\d+ of \d+ reclaimed`), "N of N reclaimed"},
	// Paths of packages, which reports leave out where they are too long.
	{regexp.MustCompile(`(?m)^  \S*/(\w+\.\S*\(\.\.\.\))$`), "  $1"},
}

func masked(b []byte) string {
	for _, m := range masks {
		b = m.pattern.ReplaceAll(b, []byte(m.by))
	}
	return string(b)
}

// The seed's splat, its silence with NoLocks, and the fallback.
func TestSeed(t *testing.T) {
	var out bytes.Buffer
	if err := Seed(&out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !proves {
		return // there is no splat
	}
	golden := "testdata/seed.golden"
	if lockdep.Tagged { // which checks allocations before they take a lock
		golden = "testdata/seed_tagged.golden"
	}
	got := masked(out.Bytes())
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s (go test -update writes it anew):\n%s", golden, got)
	}
}
