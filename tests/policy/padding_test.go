package policy

import (
	"strconv"
	"strings"
	"testing"
)

// line is the distance at which two variables never share cache lines: amd64
// prefetches lines in pairs.
const line = 128

// hotGlobals are the variables that every P reads or writes all the time, with
// their place in the symbol and their size. All but their padding must have
// their lines to themselves: a neighbour that is written takes the line away
// from all readers.
var hotGlobals = []struct {
	symbol    string
	off, size uint64
}{
	{"rcu.index", line, 8},
	{"rcu.seq", line, 8},
	{"internal/percpu.hot", line, 8},
	{"internal/depcheck.on", line, 4},
	{"internal/depcheck.undelivered", line, 4},
	{"internal/sys.funnel", line, 40},
}

type symbol struct {
	from, to uint64
	name     string
}

// variables are the variables of a binary.
func variables(t *testing.T, bin string) (all []symbol) {
	t.Helper()
	for l := range strings.Lines(goTool(t, "tool", "nm", "-size", bin)) {
		f := strings.Fields(l)
		if len(f) < 4 || !strings.Contains("DdBb", f[2]) {
			continue
		}
		from, err1 := strconv.ParseUint(f[0], 16, 64)
		size, err2 := strconv.ParseUint(f[1], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("nm says %q", l)
		}
		all = append(all, symbol{from, from + size, f[3]})
	}
	if len(all) < 1000 {
		t.Fatalf("nm knows only %d variables", len(all))
	}
	return all
}

// sharers names the variables on the lines of s[off:off+size].
func sharers(all []symbol, s symbol, off, size uint64) (names []string) {
	from, to := (s.from+off)&^(line-1), (s.from+off+size+line-1)&^(line-1)
	for _, o := range all {
		if o.name != s.name && o.from < to && o.to > from {
			names = append(names, o.name)
		}
	}
	return names
}

func TestHotGlobalsShareNoLine(t *testing.T) {
	readPlain(t)
	all := plain.variables
	for _, h := range hotGlobals {
		found := false
		for _, s := range all {
			if s.name != module+h.symbol {
				continue
			}
			found = true
			if got := s.to - s.from; got < h.off+h.size+line {
				t.Errorf("%s has %d bytes: no room for a line before and after it", s.name, got)
			}
			if names := sharers(all, s, h.off, h.size); len(names) > 0 {
				t.Errorf("%s shares a line with %s", s.name, strings.Join(names, ", "))
			}
		}
		if !found {
			t.Errorf("no variable %s: renamed?", h.symbol)
		}
	}
}

// The check above can fail.
func TestSharersAreFound(t *testing.T) {
	all := []symbol{{1000, 1008, "before"}, {1008, 1276, "hot"}, {1276, 1284, "after"}}
	if names := sharers(all, all[1], line, 8); len(names) > 0 {
		t.Errorf("padded: %v", names)
	}
	if names := sharers(all, all[1], 0, 8); len(names) != 1 || names[0] != "before" {
		t.Errorf("not padded before: %v", names)
	}
	if names := sharers(all, all[1], 260, 8); len(names) != 1 || names[0] != "after" {
		t.Errorf("not padded after: %v", names)
	}
}
