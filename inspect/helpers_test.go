package inspect_test

import (
	"slices"
	"testing"

	"quiesce/inspect"
	"quiesce/page"
)

// pages makes an allocator for the test.
func pages(t *testing.T, limit int64) *page.Allocator {
	t.Helper()
	a, err := page.New(page.Config{Name: t.Name(), Limit: limit, Reserve: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// find returns the element with a name.
func find[T any](t *testing.T, list []T, name string, nameOf func(T) string) T {
	t.Helper()
	i := slices.IndexFunc(list, func(e T) bool { return nameOf(e) == name })
	if i < 0 {
		var names []string
		for _, e := range list {
			names = append(names, nameOf(e))
		}
		t.Fatalf("no %q among %q", name, names)
	}
	return list[i]
}

func slabCache(t *testing.T, name string) inspect.SlabCache {
	t.Helper()
	return find(t, inspect.Snapshot().SlabCaches, name, func(c inspect.SlabCache) string { return c.Name })
}

func allocator(t *testing.T, name string) inspect.Allocator {
	t.Helper()
	return find(t, inspect.Snapshot().Allocators, name, func(a inspect.Allocator) string { return a.Name })
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
