//go:build asan

package slab

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

//go:noinline
func asanRead(p *cell) uint64 { return p.body[1] }

//go:noinline
func asanWrite(p unsafe.Pointer, i int) { *(*byte)(unsafe.Add(p, i)) = 1 }

var asanScenarios = map[string]func(c *Cache[cell], p *cell){
	"read after Free":    func(c *Cache[cell], p *cell) { c.Free(p); asanRead(p) },
	"read after FreeRCU": func(c *Cache[cell], p *cell) { c.FreeRCU(p); c.Barrier(); asanRead(p) },
	"write before it":    func(c *Cache[cell], p *cell) { asanWrite(unsafe.Pointer(p), -1) },
	"write beyond the size asked for": func(c *Cache[cell], p *cell) {
		h := NewHeap(c.c.pages)
		asanWrite(h.Kmalloc(21, gfp.Kernel), 21)
	},
}

func TestASanReportsAccessesToFreedObjects(t *testing.T) {
	if name := testkit.Scenario(); name != "" {
		c, _ := NewCache[cell]("asan")
		asanScenarios[name](c, c.Alloc(gfp.Kernel))
		os.Exit(0)
	}
	for name := range asanScenarios {
		t.Run(name, func(t *testing.T) {
			out, err := testkit.OfTest(t, name).Output()
			kind := "heap-buffer-overflow"
			if strings.HasPrefix(name, "read") {
				kind = "heap-use-after-free"
			}
			if err == nil || !strings.Contains(out, "ERROR: AddressSanitizer: "+kind) {
				t.Errorf("the child ended with %v and said:\n%s", err, out)
			}
			if testing.Verbose() {
				t.Logf("%s", out)
			}
		})
	}
}

// What may be accessed is accepted: an object to its last byte, and one that
// waits for its grace period.
func TestASanAcceptsLiveAndPendingObjects(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	p := c.Alloc(gfp.Kernel)
	asanWrite(unsafe.Pointer(p), 0)
	asanWrite(unsafe.Pointer(p), 55)
	g := rcu.ReadLock()
	c.FreeRCU(p)
	asanRead(p)
	g.Unlock()
	h := NewHeap(a)
	q := h.Kmalloc(21, gfp.Kernel)
	asanWrite(q, 20)
	h.Kfree(q)
	for _, err := range []error{c.Close(), h.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	mustClose(t, a)
}
