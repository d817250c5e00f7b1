package server

import (
	"testing"

	"quiesce/cache"
	"quiesce/cmd/quiesced/internal/item"
)

// newTestCache makes a cache that is closed when the test ends.
func newTestCache(t testing.TB) item.Cache {
	c, err := cache.NewBytes(cache.Options[string, []byte]{Name: t.Name(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}
