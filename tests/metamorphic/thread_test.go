package metamorphic

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/preempt"
	"quiesce/rcu"
)

// contexts in which an operation may run, with the flags of an allocation
// there.
var contexts = [8]struct {
	flags gfp.Flags
	run   func(fn func())
}{
	0: {gfp.Kernel, plain},
	1: {gfp.NoWait, plain},
	2: {gfp.Atomic, plain},
	3: {gfp.NoLocks, func(fn func()) {
		p := preempt.Disable()
		fn()
		p.Enable()
	}},
	4: {gfp.NoLocks, preempt.Hardirq},
	5: {gfp.Kernel | gfp.Zero, plain},
	6: {gfp.NoLocks | gfp.Zero, func(fn func()) {
		s := preempt.DisableIRQ()
		fn()
		s.Restore()
	}},
	7: {gfp.Atomic, preempt.Softirq},
}

func plain(fn func()) { fn() }

var address = regexp.MustCompile(`0x[0-9a-f]+`)

// anonymous is a text without addresses.
func anonymous(s string) string {
	s, _, _ = strings.Cut(s, ", the first at")
	return address.ReplaceAllString(s, "PTR")
}

// caught returns what fn panics with.
func caught(fn func()) (what string) {
	defer func() {
		if r := recover(); r != nil {
			what = anonymous(fmt.Sprint("panic: ", r))
		}
	}()
	fn()
	return "fine"
}

// do runs one operation.
func (t *thread) do(o op) string {
	if tb := t.w.tables[o.kind]; tb != nil {
		return t.doTable(tb, o)
	}
	k := t.w.kinds[o.kind]
	switch o.verb {
	case "lock":
		if i := o.a % 2; t.guards[i] == nil {
			t.guards[i] = &guard{g: rcu.ReadLock()}
		}
		return ""
	case "unlock":
		return t.unlock(o.a % 2)
	case "cookie":
		if g := t.guard(); g != nil {
			c := rcu.GetState()
			if o.a%2 == 0 {
				c = rcu.StartPoll()
			}
			g.cookies = append(g.cookies, c)
		}
		return ""
	case "poll":
		return t.poll()
	case "badsize":
		if o.kind != "-" {
			return ""
		}
		for _, n := range []int{0, -1, 2<<20 + 1} {
			if t.w.heap.Kmalloc(n, gfp.NoWait|gfp.NoWarn) != nil {
				return fmt.Sprint(wrong, "memory of size ", n)
			}
		}
		return "nil"
	}
	if k == nil {
		return ""
	}
	n := len(k.slots[t.id])
	at := o.a % n
	slot := &k.slots[t.id][at]
	p := atomic.LoadPointer(slot)
	switch o.verb {
	case "new":
		if p != nil {
			return "full"
		}
		return t.fill(k, o.kind, slot, o.b)
	case "bulk":
		return t.each(k, o, func(slot *unsafe.Pointer) string {
			if *slot != nil {
				return ""
			}
			return t.fill(k, o.kind, slot, 1)
		})
	case "replace":
		if p == nil {
			return "none"
		}
		old := p
		if r := t.fill(k, o.kind, slot, o.b); r != "" {
			return r
		}
		t.retire(k, old, o.b)
		return ""
	case "free":
		if p == nil {
			return "none"
		}
		was := t.look(k, p)
		atomic.StorePointer(slot, nil)
		if k.shared {
			t.retire(k, p, o.b)
		} else {
			contexts[o.b].run(func() { k.free(p) })
		}
		return was
	case "freercu":
		if p == nil {
			return "none"
		}
		was := t.look(k, p)
		atomic.StorePointer(slot, nil)
		t.retire(k, p, o.b)
		return was
	case "call":
		if p == nil {
			return "none"
		}
		atomic.StorePointer(slot, nil)
		t.calls++
		rcu.Call(func() {
			k.free(p)
			t.called.Add(1)
		})
		return ""
	case "freebulk":
		var ps []unsafe.Pointer
		r := t.each(k, o, func(slot *unsafe.Pointer) string {
			p := *slot
			if p == nil {
				return ""
			}
			was := t.look(k, p)
			atomic.StorePointer(slot, nil)
			if k.shared {
				k.freeRCU(p)
			} else {
				ps = append(ps, p)
			}
			return was
		})
		k.freeBulk(ps)
		return r
	case "write":
		if p != nil && !k.shared {
			stamp(p, k.size(), t.n)
		}
		return ""
	case "read":
		if p == nil {
			return "none"
		}
		return t.look(k, p)
	case "look":
		if g := t.guard(); g != nil && p != nil && k.shared {
			return g.remember(p, k.size())
		}
		return ""
	case "peek":
		if g := t.guard(); g != nil && k.shared {
			other := (t.id + 1 + o.b%(threads-1)) % threads
			if p := atomic.LoadPointer(&k.slots[other][at]); p != nil {
				if r := g.remember(p, k.size()); strings.HasPrefix(r, wrong) {
					return r
				}
			}
		}
		return ""
	case "badfree":
		if ps, ok := k.memory.(pages); ok {
			if p == nil {
				return ""
			}
			return caught(func() { ps.a.Free(p, ps.order+1) }) + caught(func() { ps.a.Free(unsafe.Add(p, 8), ps.order) })
		}
		on := new([8192]byte) // as large as the largest type: checkptr looks
		return caught(func() { k.freeRCU(unsafe.Pointer(&on[o.b])) })
	}
	panic("no operation " + o.String())
}

// fill makes a new object in a slot. "" is success.
func (t *thread) fill(k *kind, name string, slot *unsafe.Pointer, context int) string {
	if t.quota[name] >= len(k.slots[t.id]) {
		return "quota"
	}
	t.quota[name]++
	c := contexts[context]
	var p unsafe.Pointer
	c.run(func() { p = k.alloc(c.flags | gfp.NoWarn) })
	f := c.flags
	if p == nil {
		f = gfp.Kernel | f&gfp.Zero
		t.w.persist(func() bool { p = k.alloc(f | gfp.NoWarn); return p != nil })
	}
	if p == nil {
		return wrong + "starved"
	}
	if f&gfp.Zero != 0 && !zeroed(p, k.size()) {
		return wrong + "not zero"
	}
	if uintptr(p)&15 != 0 {
		return wrong + "misaligned"
	}
	stamp(p, k.size(), t.n)
	atomic.StorePointer(slot, p)
	return ""
}

// each calls fn for a run of slots and counts what it says.
func (t *thread) each(k *kind, o op, fn func(slot *unsafe.Pointer) string) string {
	n := len(k.slots[t.id])
	said := map[string]int{}
	for i := range min(n, 8<<o.b) {
		said[fn(&k.slots[t.id][(o.a+i)%n])]++
	}
	return fmt.Sprint(said)
}

// look reads an object that only this thread frees.
func (t *thread) look(k *kind, p unsafe.Pointer) string {
	n, whole := stamped(p, k.size())
	if !whole {
		return fmt.Sprint(wrong, "torn object ", n)
	}
	return fmt.Sprint(n)
}

// retire gives an unlinked object to FreeRCU. Pages have none; they are not
// shared.
func (t *thread) retire(k *kind, p unsafe.Pointer, context int) {
	contexts[context].run(func() { k.freeRCU(p) })
}

// guard is the first guard held, or nil.
func (t *thread) guard() *guard {
	for _, g := range t.guards {
		if g != nil {
			return g
		}
	}
	return nil
}

// remember reads an object that may be freed, and keeps it for a second check.
func (g *guard) remember(p unsafe.Pointer, size int) string {
	n, whole := stamped(p, size)
	if !whole {
		return fmt.Sprint(wrong, "torn object ", n)
	}
	g.refs = append(g.refs, ref{p, size, n})
	return fmt.Sprint(n)
}

func (t *thread) unlock(i int) string {
	g := t.guards[i]
	if g == nil {
		return ""
	}
	r := "unchanged"
	for _, ref := range g.refs {
		if n, whole := stamped(ref.p, ref.size); n != ref.n || !whole {
			r = fmt.Sprintf(wrong+"%d became %d, %v", ref.n, n, whole)
			break
		}
	}
	g.g.Unlock()
	t.guards[i] = nil
	t.w.mu.Lock()
	t.w.ended = append(t.w.ended, g.cookies...)
	t.w.mu.Unlock()
	return r
}

// poll checks the cookies that can't be done.
func (t *thread) poll() string {
	n := 0
	for _, g := range t.guards {
		if g == nil {
			continue
		}
		for _, c := range g.cookies {
			if rcu.Poll(c) {
				return wrong + "a cookie is done under its guard"
			}
			n++
		}
	}
	return fmt.Sprint(n, " not done")
}
