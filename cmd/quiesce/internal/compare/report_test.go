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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
)

func TestHistogramsAreRightToOnePercent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	h := newHist()
	var all []int64
	for range 50_000 {
		v := int64(math.Exp(rng.Float64() * 25))
		all = append(all, v)
		h.add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.9999} {
		want := float64(all[int(q*float64(len(all)))])
		if got := h.quantile(q); got > 1.01*want+1 || got < want/1.01-1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h.add(-1)
	h.add(math.MaxInt64)
	n := uint64(0)
	for _, b := range h.doublings() {
		n += b.Count
	}
	if n != uint64(len(all))+2 {
		t.Errorf("doublings have %d of %d", n, len(all)+2)
	}
	if h.max != math.MaxInt64 {
		t.Errorf("the longest is %d", h.max)
	}
	for i, b := range h.doublings() {
		if b.NS&(b.NS-1) != 0 || i > 0 && b.NS <= h.doublings()[i-1].NS {
			t.Errorf("bucket %d begins at %d", i, b.NS)
		}
	}
	o := newHist()
	o.add(7)
	if o.merge(h); o.max != h.max || o.quantile(0.5) != h.quantile(0.5) {
		t.Error("merging loses values")
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
		if got := kit.Spread(c.v, agreeing); math.Abs(got-c.want) > 1e-9 {
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
	rep, err := Run(ctx, RunConfig{Strategies: names, Objects: 5000, Quick: !testkit.Long(),
		Child: append([]string{os.Args[0]}, kit.ChildArgs("compare")...)}, nil)
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
			// At times the runtime dies over its own message, again and again.
			text := strings.Contains(h.Died, "holding locks") || strings.Contains(h.Died, "fatal error: fatal error: fatal error")
			if h.Strategy != "array" || !h.RT || h.Caller == "plain" || !text {
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
		if input := (*kit.InputError)(nil); !errors.As(err, &input) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// aReport has large figures, a strategy that died, and all kinds of cells.
func aReport() *Report {
	rep := &Report{Objects: 4_000_000, Cells: 4, Machine: Machine{CPU: "A CPU", CPUs: 2}}
	misses := 1.25
	for _, rt := range []bool{true, false} {
		for _, s := range Strategies {
			for kind := range callers {
				for _, exhausted := range []bool{false, true} {
					w := Where{s.Name, kind.String(), rt, exhausted}
					h := Hot{Where: w, Call: 12345.6, P50: 20, P99: 45678, Max: 9.9e9, Churn: 98765.4, Fallback: 1, Calls: []Bucket{{16, 900}, {1 << 15, 100}}}
					c := Cold{Where: w, Enqueue: 4321.1, HandOver: 54321.2, Bulk: 12345.6, FirstWrite: 1234.5, Peak: 3 << 30, Misses: &misses}
					h.Noisy, c.Noisy = true, true
					if s.Name == "array" && rt && exhausted {
						h.Died, c.Died = "schedule: holding locks", "schedule: holding locks"
					}
					rep.Hot, rep.Cold = append(rep.Hot, h), append(rep.Cold, c)
				}
			}
			at := Where{s.Name, Raw.String(), rt, false}
			rep.Light = append(rep.Light, Light{Where: at, WakeupsPS: 123_456, GPsPerS: 1_234_567, LatencyMS: 1234.5, LatencyMax: 98765.4})
			rep.Memory = append(rep.Memory, Memory{Where: at, At: []float64{0, 100, 290}, Bytes: []int64{0, 20 << 20, 50 << 20}, Peak: 60 << 20})
			rep.Survival = append(rep.Survival, Survival{Where: at, Reports: []string{"a", "b"}})
		}
		rep.Locks = append(rep.Locks, Locks{RT: rt, Raw: Lock{HoldMax: 1e9, PinnedMax: 1e9}})
	}
	rep.Survival[2].Died = "schedule: holding locks"
	rep.Tracking = &Tracking{Bare: 2, Counted: 3, Raw: 10, Tracked: 11}
	rep.Claims = rep.claims()
	return rep
}

func TestEveryClaimIsMeasured(t *testing.T) {
	for _, c := range aReport().Claims {
		if c.Verdict == unknown || c.Figure == "" {
			t.Errorf("%q: %s %s", c.Says, c.Verdict, c.Figure)
		}
	}
	for _, c := range new(Report).claims() {
		if (c.Verdict == unknown) != (c.Figure == "") {
			t.Errorf("of an empty report, %q: %s %s", c.Says, c.Verdict, c.Figure)
		}
	}
}

func TestEveryKindOfJobIsKnownAndDies(t *testing.T) {
	for _, name := range Names() {
		for _, j := range (RunConfig{Full: true}).jobs(name, true) {
			if _, err := j.kind(); err != nil {
				t.Error(err)
			}
			rep := new(Report)
			rep.add(name, true, j, died(name, true, j, "it died"), nil)
			if rep.survival(name, true) == nil && len(rep.Hot)+len(rep.Cold)+len(rep.Light)+len(rep.Memory) == 0 &&
				!slices.Contains([]string{"locks", "tracking", "lockdep"}, j.Kind) {
				t.Errorf("a death in %s is not in the report", j.Kind)
			}
		}
	}
	if _, err := new(bench).run(Job{Kind: "none"}); err == nil {
		t.Error("an unknown job is run")
	}
}

// Every chart has an axis with its unit, text that can be read on a narrow
// page, and no colour but the page's own.
func TestChartsAreReadableAndHaveUnits(t *testing.T) {
	rep := aReport()
	forms(t, rep)
	var out bytes.Buffer
	if err := rep.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	charts := regexp.MustCompile(`(?s)<svg viewBox="0 0 400 \d+".*?</svg>`).FindAllString(out.String(), -1)
	if len(charts) < 4+2*len(Strategies) {
		t.Errorf("%d charts", len(charts))
	}
	units := regexp.MustCompile(`ns for an object|share of calls|MiB|misses for an object|wake-ups a second|ms until`)
	size := regexp.MustCompile(`font-size:([\d.]+)px`)
	for _, c := range charts {
		name, _, _ := strings.Cut(c, ">")
		if !units.MatchString(c) {
			t.Errorf("%s: no unit", name)
		}
		if strings.Contains(c, "rgb(") || strings.Contains(c, "fill:white") {
			t.Errorf("%s has a colour of its own: %.300s", name, c[strings.Index(c, "rgb("):])
		}
		for _, m := range size.FindAllStringSubmatch(c, -1) {
			if px, err := strconv.ParseFloat(m[1], 64); err != nil || px < 11 {
				t.Errorf("%s: text of %s px on 400", name, m[1])
			}
		}
	}
}
