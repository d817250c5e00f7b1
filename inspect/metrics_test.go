package inspect_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"quiesce/inspect"
)

// notKept are the figures that no metric has, and why.
var notKept = map[string]string{
	"Cache.HitRatio":       "a quotient of others",
	"SlabCache.Fill":       "a quotient of others",
	"SlabCache.Free":       "a difference of others",
	"SlabCache.Out":        "a sum of others",
	"SlabCache.ObjectSize": "never changes",
	"SlabCache.SlabBytes":  "never changes",
	"SlabCache.SheafCap":   "never changes",

	"SlabCache.Depot":         "detail of the cached objects",
	"SlabCache.Sheaves":       "detail of the held objects",
	"SlabCache.Helped":        "detail of those reused",
	"SlabCache.FallbackFreed": "detail of the deferred objects",
	"SlabCache.Flushed":       "detail of the cached objects",

	"RCU.InProgress":    "on or off",
	"RCU.Events":        "a log",
	"Locks.Lockdep":     "on or off",
	"Locks.Contentions": "a sum of others",
}

// Each number of a State has a metric that shows it, or a reason why not: set in a
// State that has nothing else, it is the one value that is not 0.
func TestEveryFigureHasAMetricOrAReason(t *testing.T) {
	shown := map[string]string{}
	for _, part := range []struct {
		of    string
		state func() (*inspect.State, any)
	}{
		{"allocator", func() (*inspect.State, any) {
			s := &inspect.State{Allocators: make([]inspect.Allocator, 1)}
			return s, &s.Allocators[0]
		}},
		{"slab_cache", func() (*inspect.State, any) {
			s := &inspect.State{SlabCaches: make([]inspect.SlabCache, 1)}
			return s, &s.SlabCaches[0]
		}},
		{"map", func() (*inspect.State, any) { s := &inspect.State{Maps: make([]inspect.Map, 1)}; return s, &s.Maps[0] }},
		{"cache", func() (*inspect.State, any) {
			s := &inspect.State{Caches: make([]inspect.Cache, 1)}
			return s, &s.Caches[0]
		}},
		{"rcu", func() (*inspect.State, any) { s := &inspect.State{}; return s, &s.RCU }},
		{"rcu", func() (*inspect.State, any) { s := &inspect.State{}; return s, &s.RCU.Readers }},
		{"lockdep", func() (*inspect.State, any) { s := &inspect.State{}; return s, &s.Locks }},
	} {
		_, object := part.state()
		for i := range reflect.TypeOf(object).Elem().NumField() {
			field := reflect.TypeOf(object).Elem().Field(i)
			if k := field.Type.Kind(); k == reflect.String || k == reflect.Struct {
				continue
			}
			s, object := part.state()
			switch v := reflect.ValueOf(object).Elem().Field(i); v.Kind() {
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Float64:
				v.SetFloat(1e9)
			case reflect.Slice:
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			case reflect.Uint64:
				v.SetUint(1e9)
			default:
				v.SetInt(1e9)
			}
			var names []string
			for _, m := range inspect.Metrics() {
				for _, value := range m.Values(s) {
					if value != 0 {
						names = append(names, m.Of+"."+m.Name)
						if m.Of != part.of || value != 1e9 && (m.Unit != "s" && field.Type.Kind() != reflect.Slice || value != 1) {
							t.Errorf("%s: %s.%s is %v", field.Name, m.Of, m.Name, value)
						}
					}
				}
			}
			name := reflect.TypeOf(object).Elem().Name() + "." + field.Name
			if reason := notKept[name]; len(names) == 0 && reason == "" || len(names) > 0 && reason != "" || len(names) > 1 {
				t.Errorf("%s: metrics %q, reason why there is none: %q", name, names, reason)
			}
			for _, n := range names {
				if shown[n] != "" {
					t.Errorf("%s shows %s and %s", n, shown[n], name)
				}
				shown[n] = name
			}
		}
	}
	for _, m := range inspect.Metrics() {
		if n := m.Of + "." + m.Name; shown[n] == "" {
			t.Errorf("%s shows nothing", n)
		}
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	s := inspect.State{
		Allocators: []inspect.Allocator{{Name: "a"}, {Name: "b"}},
		SlabCaches: []inspect.SlabCache{{Name: "s", Owner: "o", Allocator: "a"}},
		Maps:       []inspect.Map{{Name: "m", Allocator: "a"}, {Name: "n", Allocator: "b"}},
		Caches:     []inspect.Cache{{Name: "c", Allocator: "a"}},
	}
	want := map[string]string{
		"allocator": "[[a] [b]]", "slab_cache": "[[s a o]]", "map": "[[m a] [n b]]", "cache": "[[c a]]", "rcu": "[[]]", "lockdep": "[[]]",
	}
	name, unit := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), regexp.MustCompile(`^(By|s|\{[a-z]+\})$`)
	help := regexp.MustCompile(`^[A-Z].*[^.]\.$`)
	seen, kinds := map[string]bool{}, []string{}
	for _, m := range inspect.Metrics() {
		if seen[m.Of+"."+m.Name] || !name.MatchString(m.Of) || !name.MatchString(m.Name) || !unit.MatchString(m.Unit) || !help.MatchString(m.Help) {
			t.Errorf("%+v", m)
		}
		seen[m.Of+"."+m.Name] = true
		if len(m.Labels) > 0 && m.Labels[0] != m.Of {
			t.Errorf("%s.%s: the first label is %s", m.Of, m.Name, m.Labels[0])
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != m.Of {
			kinds = append(kinds, m.Of)
		}
		var labels [][]string
		for l := range m.Values(&s) {
			if len(l) != len(m.Labels) {
				t.Errorf("%s.%s: %d values of labels %q", m.Of, m.Name, len(l), m.Labels)
			}
			labels = append(labels, l)
		}
		if got := fmt.Sprint(labels); got != want[m.Of] {
			t.Errorf("%s.%s: %s, want %s", m.Of, m.Name, got, want[m.Of])
		}
		for range m.Values(&s) { // one may stop
			break
		}
	}
	if len(kinds) != len(want) {
		t.Errorf("metrics of one kind are not together: %q", kinds)
	}
	mine := inspect.Metrics()
	mine[0].Name = "changed"
	if slices.ContainsFunc(inspect.Metrics(), func(m inspect.Metric) bool { return m.Name == "changed" }) {
		t.Error("a caller can change the list of others")
	}
}
