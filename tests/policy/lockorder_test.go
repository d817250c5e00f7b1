package policy

import (
	"bufio"
	"context"
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/cache"
	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	core "quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

// orderPage has the lock order of the library as a tree, one class a line.
const orderPage = "docs/design/lock-order.md"

// lockLine is one line of the tree.
type lockLine struct {
	depth  int
	class  string
	kind   string // type and wait types, as "lock.Spin 3:3"
	poison bool   // builds with -tags poison only
	unseen bool   // not observed, for a reason that the line has
	parent *lockLine
}

// lockTree reads the tree: the first code block of the page.
func lockTree(t *testing.T) (lines []*lockLine) {
	t.Helper()
	var open []*lockLine // the line's ancestors and itself
	for _, text := range strings.Split(between(t, read(t, orderPage), "```\n", "```"), "\n") {
		f := strings.Fields(text)
		if len(f) < 4 || f[0] == "class" {
			continue
		}
		l := &lockLine{depth: (len(text) - len(strings.TrimLeft(text, " "))) / 2}
		l.class, l.kind = f[0], f[1]+" "+f[2]
		rest := strings.Join(f[3:], " ")
		l.poison = strings.Contains(rest, "(poison)")
		l.unseen = strings.Contains(rest, "not observed:")
		if l.depth > len(open) {
			t.Fatalf("%s: %q is indented too far", orderPage, text)
		}
		open = append(open[:l.depth], l)
		if l.depth > 0 {
			l.parent = open[l.depth-1]
		}
		lines = append(lines, l)
	}
	if len(lines) < 10 {
		t.Fatalf("%s: a tree of %d lines", orderPage, len(lines))
	}
	return lines
}

// The workload touches everything and runs in a process of its own, with
// lockdep on from the start. What it observes is the tree, in both modes.
func TestTheLockOrderIsTheTreeOfItsPage(t *testing.T) {
	if testkit.Scenario() != "" {
		touchEverything(t)
		tellOrders()
		return
	}
	if fault.Delays {
		t.Skip("the orders are the same with delays, which take minutes here")
	}
	tree := lockTree(t)
	for _, rt := range []string{"1", "0"} {
		t.Run("preempt_rt="+rt, func(t *testing.T) {
			out, err := testkit.OfTest(t, "1", "QUIESCE=lockdep=1,panic_on_report=1,preempt_rt="+rt).Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			compareOrders(t, tree, out)
		})
	}
}

// compareOrders checks the child's output against the tree.
func compareOrders(t *testing.T, tree []*lockLine, out string) {
	allowed, wanted, known := map[lockdep.Order]bool{}, map[lockdep.Order]bool{}, map[string]string{}
	for _, l := range tree {
		if k := known[l.class]; k != "" && k != l.kind {
			t.Errorf("%s: %s is %s and %s", orderPage, l.class, k, l.kind)
		}
		known[l.class] = l.kind
		for p := l.parent; p != nil; p = p.parent {
			allowed[lockdep.Order{From: p.class, To: l.class}] = true
		}
		if l.parent != nil && !l.unseen && (poisoned || !l.poison) {
			wanted[lockdep.Order{From: l.parent.class, To: l.class}] = true
		}
	}
	missing := map[string]bool{}
	for _, l := range tree {
		missing[l.class] = missing[l.class] || !l.unseen && (poisoned || !l.poison)
	}
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		what, rest, _ := strings.Cut(s.Text(), "\t")
		switch what {
		case "class":
			name, kind, _ := strings.Cut(rest, "\t")
			delete(missing, name)
			if known[name] != kind {
				t.Errorf("%s has %q as %q, which is %s", orderPage, name, known[name], kind)
			}
		case "order":
			from, to, _ := strings.Cut(rest, "\t")
			o := lockdep.Order{From: from, To: to}
			if !allowed[o] {
				t.Errorf("%s has not: %s before %s", orderPage, from, to)
			}
			delete(wanted, o)
		}
	}
	for o := range wanted {
		t.Errorf("%s has, and was not observed: %s before %s", orderPage, o.From, o.To)
	}
	for class, m := range missing {
		if m {
			t.Errorf("%s has %s, which was not observed", orderPage, class)
		}
	}
}

// tellOrders prints what lockdep has learned about the library's classes.
func tellOrders() {
	// An allocator's name is the user's.
	name := func(s string) string {
		if strings.HasPrefix(s, "page.reclaim of ") {
			return "page.reclaim"
		}
		return s
	}
	fmt.Println()
	for _, c := range lockdep.Classes() {
		switch c.Type {
		case depcheck.RCU.Name, depcheck.RCUBH.Name, depcheck.PreemptDisabled.Name:
			continue // sections take no part in orders
		}
		kind := c.Type
		if c.Type == c.Name || strings.HasPrefix(c.Name, "page.reclaim of ") {
			kind = "Map"
		}
		fmt.Printf("class\t%s\t%s %d:%d\n", name(c.Name), kind, c.Outer, c.Inner)
	}
	for _, o := range lockdep.Orders() {
		fmt.Printf("order\t%s\t%s\n", name(o.From), name(o.To))
	}
}

// touchCache calls what takes a cache's lock.
func touchCache(t *testing.T) {
	c, err := cache.New(cache.Options[int, [1000]byte]{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		_ = c.SetTTL(i, [1000]byte{}, time.Hour)
		c.Get(i)
	}
	c.Clear()
	if _, err := c.GetOrLoad(context.Background(), -1, func(context.Context, int) (v [1000]byte, err error) { return v, nil }); err != nil {
		t.Fatal(err)
	}
	_ = c.SetTTL(1, [1000]byte{}, time.Hour)
	testkit.Eventually(t, 10*time.Second, "the service has looked", func() bool {
		return slices.Contains(lockdep.Orders(), lockdep.Order{From: "cache.service.mu", To: "cache.mu"})
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// touchEverything calls what takes a lock, in every context that it is for.
func touchEverything(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, err := page.New(page.Config{Limit: 8 << 20, ReclaimTimeout: 20 * time.Millisecond, Name: "order"})
	must(err)
	type object [7]uint64
	c, err := slab.NewCache[object]("order", slab.WithAllocator(a), slab.WithDepot(64<<10))
	must(err)
	m, err := rcuhash.New[string, uint64](1000, rcuhash.WithAllocator(a))
	must(err)
	touchCache(t)
	must(m.Prepare(8))
	h := slab.NewHeap(a)
	must(h.Prepare(64, 5000))

	contexts := []func(func()){
		func(fn func()) { fn() },
		func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() },
		func(fn func()) { p := preempt.Disable(); fn(); p.Enable() },
		func(fn func()) { s := preempt.DisableIRQ(); fn(); s.Restore() },
		preempt.Hardirq, preempt.Threaded, preempt.Softirq,
	}
	flags := []gfp.Flags{gfp.Kernel, gfp.NoWait, gfp.NoLocks, gfp.NoLocks, gfp.NoLocks, gfp.Atomic, gfp.NoWait}

	var calls atomic.Int64
	<-testkit.AsyncN(3, func(w int) {
		r := rcu.NewReader()
		defer func() { r.Close() }()
		for i := range 4000 {
			in, f := contexts[i%len(contexts)], flags[i%len(flags)]|gfp.NoWarn
			key := fmt.Sprintf("%d-%06d", w, i%500) // not in there: fmt takes a mutex
			in(func() {
				if p := c.Alloc(f); p != nil {
					c.FreeRCU(p)
				}
				if p := h.Kmalloc(5000, f); p != nil {
					h.KfreeRCU(p)
				}
				if p := a.Alloc(i%3, f); p != nil {
					a.Free(p, i%3)
				}
				m.PutFlags(key, uint64(i), f)
				if i%5 == 0 {
					m.Delete(key)
				}
				rcu.Call(func() { calls.Add(1) })
				r.ReadLock()
				r.Unlock()
				r.Close()
			})
			r = rcu.NewReader()
			if i%1000 == 0 {
				rcu.Synchronize()
				rcu.CondSynchronize(rcu.StartPoll())
				c.Barrier()
			}
		}
	})
	rcu.Barrier()
	rcu.SynchronizeExpedited()

	// A cache of one object, whose arrays are small, gives them back.
	young, err := slab.NewCache[object]("young", slab.WithAllocator(a))
	must(err)
	young.Free(young.Alloc(gfp.Kernel))
	core.CoreOf(a).Reclaim(1 << 20)

	// To the limit, where every cache is asked for memory, and back.
	var objects []*object
	var blocks []unsafe.Pointer
	for p := c.Alloc(gfp.Kernel | gfp.NoWarn); p != nil; p = c.Alloc(gfp.Kernel | gfp.NoWarn) {
		objects = append(objects, p)
	}
	for p := a.Alloc(0, gfp.Atomic|gfp.NoWarn); p != nil; p = a.Alloc(0, gfp.Atomic|gfp.NoWarn) {
		blocks = append(blocks, p)
	}
	if p := a.Alloc(3, gfp.Kernel|gfp.NoWarn); p != nil {
		a.Free(p, 3)
	}
	for i, p := range objects { // no page for a sheaf: the fallback chain
		contexts[i%len(contexts)](func() { c.FreeRCU(p) })
	}
	for _, p := range blocks {
		a.Free(p, 0)
	}
	c.Barrier()
	c.Shrink()
	h.Shrink()
	a.Shrink()
	fault.Page.Set(fault.Attr{}) // it notifies all allocators
	if n := c.Validate(); n != 0 {
		t.Errorf("Validate: %d errors", n)
	}

	kept := c.Alloc(gfp.Kernel)
	if err := a.Close(); err == nil {
		t.Error("an allocator was closed with pages in use")
	}
	c.Free(kept)
	must(m.Close())
	few, err := rcuhash.New[uint64, uint64](0, rcuhash.WithAllocator(a)) // and its heap's caches are young
	must(err)
	few.Put(1, 1)
	must(few.Close())
	must(h.Close())
	must(young.Close())
	must(c.Close())
	must(a.Close())
	lockdep.CheckExited()
}

// The mutexes that lockdep does not see: the page says of each why.
func TestUncheckedMutexesAreOnTheLockOrderPage(t *testing.T) {
	text := read(t, orderPage)
	for _, f := range sources(t) {
		checked := f.test || f.nested || f.pkg == "lock" || f.pkg == "lockdep/lockdeptest" || strings.HasPrefix(f.pkg, "internal/") &&
			!slices.Contains([]string{"internal/sys", "internal/percpu", "internal/race", "internal/fault", "internal/depcheck"}, f.pkg)
		if checked || !slices.Contains(f.imports, "sync") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Mutex" && sel.Sel.Name != "RWMutex" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "sync" && !strings.Contains(text, "| `"+f.path+"` |") {
				t.Errorf("%s has a sync.%s and no row on %s", f.path, sel.Sel.Name, orderPage)
			}
			return true
		})
	}
}
