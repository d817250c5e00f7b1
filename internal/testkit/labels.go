package testkit

import (
	"context"
	"runtime/pprof"
	"strings"
)

// Labelled runs fn on a goroutine with a profiling label, which goroutines that it
// starts inherit.
func Labelled(fn func()) {
	pprof.Do(context.Background(), pprof.Labels("tenant", "alice"), func(context.Context) { fn() })
}

// Goroutines returns the entries of the goroutine profile that contain text.
func Goroutines(text string) (entries []string) {
	var all strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		panic(err)
	}
	for _, g := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(g, text) {
			entries = append(entries, g)
		}
	}
	return entries
}

// HasLabel reports whether such an entry has the label of Labelled.
func HasLabel(entry string) bool { return strings.Contains(entry, "alice") }
