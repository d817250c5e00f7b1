package metamorphic

import (
	"fmt"
	"runtime"
	"strings"

	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/slab"
)

// alone runs an operation that has the world to itself.
func (w *world) alone(o op, n uint64) string {
	switch o.verb {
	case "quiet":
		return w.quiet()
	case "synchronize":
		return w.quiet() + w.synchronize(o.a)
	case "barrier":
		return w.quiet() + w.barrier()
	case "shrink":
		if k := w.kinds[o.kind]; k != nil {
			k.shrink()
		}
		return ""
	case "close":
		k := w.kinds[o.kind]
		if k == nil {
			return ""
		}
		c, ok := k.memory.(closer)
		if !ok {
			return ""
		}
		r := w.quiet() + w.barrier()
		keep := min(o.a%4, maxLeaks-w.leaked)
		keep = w.freeAll(k, keep)
		w.leaked += keep
		if err := c.close(); err != nil {
			r += " " + anonymous(err.Error())
		}
		c.reopen()
		return r
	case "len":
		return fmt.Sprint(w.tables[o.kind].Len())
	case "range":
		return digest(w.tables[o.kind])
	case "renew":
		r := w.quiet() + w.barrier()
		tb := w.tables[o.kind]
		if err := tb.Close(); err != nil {
			r += " " + err.Error()
		}
		tb.renew()
		return r
	case "procs":
		if w.opts["procs"] == "" {
			runtime.GOMAXPROCS(1 + o.a%4)
		}
		return ""
	case "useclosed":
		held := w.quiet() // Close waits for what Free put on the fallback chain
		c, err := slab.NewCache[[3]uint64]("gone", slab.WithAllocator(w.a))
		if err != nil {
			return err.Error()
		}
		var p *[3]uint64
		if !w.persist(func() bool { p = c.Alloc(gfp.Kernel | gfp.NoWarn); return p != nil }) {
			return wrong + "starved"
		}
		c.Free(p)
		r := fmt.Sprint(held, "; ", c.Close(), "; ", c.Close())
		return r + "; " + caught(func() { c.Free(p) }) + "; " + caught(func() { c.FreeRCU(p) })
	}
	panic("no operation " + o.String())
}

// quiet unlocks all guards.
func (w *world) quiet() string {
	r := "unchanged"
	for _, t := range w.threads {
		for i := range t.guards {
			if s := t.unlock(i); strings.HasPrefix(s, wrong) {
				r = s
			}
		}
	}
	return r
}

// synchronize waits for a grace period, after which every cookie is done. No
// guard is held.
func (w *world) synchronize(how int) string {
	if how%2 == 0 {
		rcu.Synchronize()
	} else {
		rcu.SynchronizeExpedited()
	}
	for _, c := range w.ended {
		if !rcu.Poll(c) {
			return ", " + wrong + "a cookie is not done"
		}
	}
	n := len(w.ended)
	w.ended = nil
	return fmt.Sprintf(", %d cookies done", n)
}

// barrier waits until nothing is pending, and gives every thread a new quota. No
// guard is held.
func (w *world) barrier() string {
	r := w.synchronize(1)
	rcu.Barrier()
	for _, t := range w.threads {
		if n := int(t.called.Load()); n != t.calls {
			r += fmt.Sprintf(", "+wrong+"%d of %d callbacks", n, t.calls)
		}
		clear(t.quota)
	}
	for _, name := range kindNames {
		k := w.kinds[name]
		k.barrier()
		if what := k.identities(); what != "" {
			r += " " + wrong + what
		}
	}
	for _, tb := range w.tables {
		tb.Barrier()
	}
	w.inflate()
	return r
}

// freeAll frees the objects of a kind but the first keep, which are forgotten,
// and returns how many that are.
func (w *world) freeAll(k *kind, keep int) (kept int) {
	for t := range k.slots {
		for i, p := range k.slots[t] {
			switch {
			case p == nil:
				continue
			case kept < keep:
				kept++
			default:
				k.free(p)
			}
			k.slots[t][i] = nil
		}
	}
	return kept
}
