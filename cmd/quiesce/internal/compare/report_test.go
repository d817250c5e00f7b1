package compare

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/race"
	"quiesce/lockdep"
)

func TestHistogramsAreRightToSixPercent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h hist
	var all []int64
	for range 50_000 {
		v := int64(math.Exp(rng.Float64() * 25))
		all = append(all, v)
		h.add(v)
		if i := histIndex(v); histValue(i) > v || i+1 < histSize && histValue(i+1) <= v {
			t.Fatalf("%d is in the bucket from %d to %d", v, histValue(i), histValue(i+1))
		}
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.9999} {
		want := float64(all[int(q*float64(len(all)))])
		if got := h.quantile(q); got > want || got < want/1.07-1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h.add(-1)
	h.add(math.MaxInt64)
	n := uint64(0)
	for _, b := range h.doublings() {
		n += b.Count
	}
	if n != h.all {
		t.Errorf("doublings have %d of %d", n, h.all)
	}
}

func TestSpreadIsOfTheClosestThree(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{
		{[]float64{100, 100, 100}, 0},
		{[]float64{100, 110, 90}, 0.2},
		{[]float64{100, 900, 110, 10, 105}, 10.0 / 105},
		{[]float64{1, 2}, 0},
	} {
		if got := spread(c.v); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("spread(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}

// small measures two strategies with few objects; the children are this test
// binary.
func small(t *testing.T, ctx context.Context, names ...string) *Report {
	t.Helper()
	if race.Enabled || lockdep.Tagged || testing.Short() {
		t.Skip("takes its time, and measures")
	}
	rep, err := Run(ctx, RunConfig{Strategies: names, Objects: 5000, Child: append([]string{os.Args[0]}, kit.ChildArgs("compare")...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestAReportHasEveryCell(t *testing.T) {
	rep := small(t, t.Context(), "array", "rawlocks", "detect")
	if len(rep.Errors) > 0 || rep.Partial {
		t.Errorf("partial: %v, errors: %v", rep.Partial, rep.Errors)
	}
	for _, n := range []struct {
		what      string
		got, want int
	}{
		{"hot", len(rep.Hot), 3 * 2 * 6}, {"cold", len(rep.Cold), 3 * 2 * 2}, {"light", len(rep.Light), 3 * 2},
		{"memory", len(rep.Memory), 3}, {"survival", len(rep.Survival), 3 * 2}, {"locks", len(rep.Locks), 2},
	} {
		if n.got != n.want {
			t.Errorf("%d results of kind %s, want %d", n.got, n.what, n.want)
		}
	}
	for _, h := range rep.Hot {
		if h.Died != "" {
			if h.Strategy != "array" || !h.RT || h.Caller == "plain" || !strings.Contains(h.Died, "holding locks") {
				t.Errorf("%+v died of %s", h.Where, h.Died)
			}
			continue
		}
		if h.Call <= 0 || h.P50 > h.P99 || h.P99 > h.Max || h.Churn <= 0 || h.Runs < repeats || h.Peak <= 0 || len(h.Calls) == 0 {
			t.Errorf("%+v", h)
		}
	}
	for _, c := range rep.Cold {
		if c.Died == "" && (c.Enqueue <= 0 || c.HandOver <= 0 || c.Bulk <= 0 || c.FirstWrite <= 0) {
			t.Errorf("cold figures come as four: %+v", c)
		}
	}
	for _, s := range rep.Survival {
		if dies := s.Died != ""; dies != (s.Strategy == "array" && s.RT) {
			t.Errorf("%+v: dies: %q", s.Where, s.Died)
		}
		if splat := len(s.Reports) > 0 || s.LDDied != ""; splat != (s.Strategy == "array") {
			t.Errorf("%+v: lockdep: %v %s", s.Where, s.Reports, s.LDDied)
		}
	}
	if tr := rep.Tracking; tr == nil || tr.Bare <= 0 || tr.Counted <= 0 || tr.Raw <= 0 {
		t.Errorf("tracking: %+v", tr)
	}
	for _, l := range rep.Locks {
		if l.Raw.PinnedMax < l.Raw.HoldMax*0.5 || l.RT && l.Spin.PinnedMax != 0 || l.Raw.WakeP50 <= 0 {
			t.Errorf("locks: %+v", l)
		}
	}
	forms(t, rep)
}

// forms checks JSON, CSV and HTML of a report.
func forms(t *testing.T, rep *Report) {
	t.Helper()
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(b, &again); err != nil || len(again.Hot) != len(rep.Hot) {
		t.Errorf("JSON: %v, %d hot cells", err, len(again.Hot))
	}
	var out bytes.Buffer
	if err := rep.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) < 5*len(rep.Hot) {
		t.Errorf("CSV: %v, %d lines", err, len(lines))
	}
	out.Reset()
	if err := rep.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, not := range []string{"http:", "https:", "<script", "<link", "@import", "NaN", "%!", "ZgotmplZ"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	for _, want := range []string{"<svg", "dies", "</html>", "page.zone.lock"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestAnInterruptedRunIsAPartialReport(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	begin := time.Now()
	rep := small(t, ctx, "nolocks", "sheaf")
	if !rep.Partial || len(rep.Hot) > 20 {
		t.Errorf("partial: %v, with %d cells", rep.Partial, len(rep.Hot))
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("ended after %v", took)
	}
	if err := rep.WriteHTML(new(bytes.Buffer)); err != nil {
		t.Error(err)
	}
}

func TestBadInputIsAnInputError(t *testing.T) {
	for _, cfg := range []RunConfig{{Strategies: []string{"magic"}}, {Objects: 1}} {
		_, err := Run(t.Context(), cfg, nil)
		if input := (*InputError)(nil); !errors.As(err, &input) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
