package prom

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"quiesce/cache"
	"quiesce/inspect"
	"quiesce/page"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// scrape returns what a server of c's metrics answers, by name.
func scrape(t *testing.T, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	reg := prometheus.NewPedanticRegistry() // which compares what is collected with what was described
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value returns the value of a series, and whether there is one. Labels are pairs.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) (v float64, ok bool) {
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			if l.GetValue() != "" { // as Prometheus: an empty label is none
				has[l.GetName()] = l.GetValue()
			}
		}
		same := len(has) == len(labels)/2
		for i := 0; i < len(labels); i += 2 {
			same = same && has[labels[i]] == labels[i+1]
		}
		if same {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

// program makes objects of every kind.
func program(t *testing.T) {
	t.Helper()
	a, err := page.New(page.Config{Name: "pages", Limit: 32 << 20, Reserve: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m, err := rcuhash.New[int, int](0, rcuhash.WithAllocator(a), rcuhash.WithName("squares"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.New(cache.Options[int, [64]byte]{Name: "blocks", MaxEntries: 500, Allocator: a})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := slab.NewCache[[4]int]("objects", slab.WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, close := range []func() error{m.Close, c.Close, objects.Close, a.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 1000 {
		m.Put(i, i*i)
		if err := c.Set(i, [64]byte{}); err != nil {
			t.Fatal(err)
		}
		c.Get(i - i%3)
	}
}

func TestAScrapeIsTheSnapshot(t *testing.T) {
	program(t)
	var s inspect.State
	c := NewCollector().(*collector)
	c.snapshot = func() inspect.State { s = inspect.Snapshot(); return s }
	families := scrape(t, c)
	if len(families) != len(inspect.Metrics()) {
		t.Errorf("%d metrics, want %d", len(families), len(inspect.Metrics()))
	}
	series := 0
	for _, m := range inspect.Metrics() {
		family := families[metricName(m)]
		want, wantType := 0, dto.MetricType_GAUGE
		if m.Counter {
			wantType = dto.MetricType_COUNTER
		}
		if family.GetType() != wantType || family.GetHelp() != m.Help {
			t.Errorf("%s: %v, %q", metricName(m), family.GetType(), family.GetHelp())
		}
		for labels, v := range m.Values(&s) {
			want++
			var pairs []string
			for i, l := range labels {
				if l != "" {
					pairs = append(pairs, m.Labels[i], l)
				}
			}
			if got, ok := value(families, metricName(m), pairs...); got != v || !ok {
				t.Errorf("%s%q is %v (%v), want %v", metricName(m), pairs, got, ok, v)
			}
		}
		if got := len(family.GetMetric()); got != want || want == 0 {
			t.Errorf("%s has %d series, want %d", metricName(m), got, want)
		}
		series += want
	}

	// Against the objects themselves: what the program did.
	sum := func(name string) (sum float64) {
		for _, m := range families[name].GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return sum
	}
	if v, _ := value(families, "quiesce_map_keys", "map", "squares", "allocator", "pages"); v != 1000 {
		t.Errorf("%v keys, want 1000", v)
	}
	if v := sum("quiesce_cache_hits_total") + sum("quiesce_cache_misses_total"); v != 1000 {
		t.Errorf("%v look-ups, want 1000", v)
	}
	if v := sum("quiesce_allocator_resident_bytes"); v != float64(s.Memory.Resident) || v == 0 {
		t.Errorf("%v bytes are resident, the Snapshot says %d", v, s.Memory.Resident)
	}
	if v := sum("quiesce_slab_cache_live_bytes"); v != float64(s.Memory.Live) || v == 0 {
		t.Errorf("%v bytes are live, the Snapshot says %d", v, s.Memory.Live)
	}
	t.Logf("%d series", series)
}

func TestPromlintHasNothingToSay(t *testing.T) {
	program(t)
	problems, err := testutil.CollectAndLint(NewCollector())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestASecondCollectorIsRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(NewCollector()); err != nil {
		t.Fatal(err)
	}
	if _, ok := reg.Register(NewCollector()).(prometheus.AlreadyRegisteredError); !ok {
		t.Error("there are two")
	}
}

// caches is a State of caches whose hits and entries are as given.
func caches(figures ...any) (s inspect.State) {
	for i := 0; i < len(figures); i += 2 {
		n := figures[i+1].(int)
		s.Caches = append(s.Caches, inspect.Cache{Name: figures[i].(string), Allocator: "a", Hits: uint64(n), Entries: n})
	}
	return s
}

// Each step is a scrape: the state, and what the series are then, as name=hits/entries.
func TestTheRestIsAddedUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		max   int
		steps []inspect.State
		want  []string
	}{
		{"below the limit", 2, []inspect.State{caches(), caches("x", 1), caches("x", 2, "y", 3)}, []string{
			"", "x=1/1", "x=2/2 y=3/3",
		}},
		{"above it", 1, []inspect.State{caches("x", 1, "y", 2, "z", 4), caches("a", 8, "x", 1, "y", 3, "z", 5)}, []string{
			"other=6/6 x=1/1", "other=16/16 x=1/1",
		}},
		{"all", 0, []inspect.State{caches("x", 1, "y", 2)}, []string{"other=3/3"}},
		{"one of the rest is closed", 1, []inspect.State{caches("x", 1, "y", 2, "z", 4), caches("x", 1, "z", 5), caches("x", 1), caches("x", 1, "y", 1)}, []string{
			"other=6/6 x=1/1", "other=7/5 x=1/1", "other=7/- x=1/1", "other=8/1 x=1/1",
		}},
		{"one of the rest begins anew", 1, []inspect.State{caches("x", 1, "y", 20), caches("x", 1, "y", 3), caches("x", 1, "y", 4)}, []string{
			"other=20/20 x=1/1", "other=23/3 x=1/1", "other=24/4 x=1/1",
		}},
		{"a place becomes free", 1, []inspect.State{caches("x", 1, "y", 2), caches("y", 3), caches("b", 7, "y", 3), caches("b", 7, "x", 1, "y", 3)}, []string{
			"other=2/2 x=1/1", "other=3/3", "b=7/7 other=3/3", "b=7/7 other=4/4",
		}},
		{"names that can't be labels", 9, []inspect.State{caches("\xff", 1, "\xfe", 2, "other", 4, "", 8, "ü", 16)}, []string{
			"=8/8 other=7/7 ü=16/16",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := NewCollector(WithMaxNames(c.max)).(*collector)
			for i, s := range c.steps {
				col.snapshot = func() inspect.State { return s }
				families := scrape(t, col)
				if got := describe(families); got != c.want[i] {
					t.Errorf("scrape %d: %q, want %q", i+1, got, c.want[i])
				}
			}
		})
	}
}

// describe lists the series of caches, sorted by name.
func describe(families map[string]*dto.MetricFamily) string {
	var out []string
	for _, m := range families["quiesce_cache_hits_total"].GetMetric() {
		name, pairs := "", []string{}
		for _, l := range m.GetLabel() {
			if l.GetValue() != "" {
				pairs = append(pairs, l.GetName(), l.GetValue())
			}
			if l.GetName() == "cache" {
				name = l.GetValue()
			}
		}
		entries := "-"
		if v, ok := value(families, "quiesce_cache_entries", pairs...); ok {
			entries = fmt.Sprint(v)
		}
		out = append(out, fmt.Sprintf("%s=%v/%s", name, m.GetCounter().GetValue(), entries))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestScrapesAtOnce(t *testing.T) {
	program(t)
	c := NewCollector(WithMaxNames(1))
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
