package compare

import "fmt"

// Claim is a sentence of the mail, and what was measured of it here.
type Claim struct {
	Says    string `json:"says"` // in the mail's words
	Verdict string `json:"verdict"`
	Figure  string `json:"figure"`
}

// Verdicts.
const (
	supported = "supported"
	refuted   = "refuted"
	partly    = "partly"
	unknown   = "not measured"
)

func verdict(ok bool) string {
	if ok {
		return supported
	}
	return refuted
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// claims holds the mail's sentences against the report.
func (rep *Report) claims() (out []Claim) {
	add := func(says, v, format string, args ...any) {
		out = append(out, Claim{says, v, fmt.Sprintf(format, args...)})
	}
	const rt = true
	list, array := rep.cold("list", Plain, rt, false), rep.cold("array", Plain, rt, false)
	sheaf := rep.cold("sheaf", Plain, rt, false)
	call := rep.cold("callrcu", Plain, rt, false)

	says := "Because the just-ended grace period will have rendered these lists cache-cold, this results in an expensive cache miss on each and every callback invocation."
	if hot := rep.hot("list", Plain, rt, false); list != nil && hot != nil {
		add(says, verdict(list.HandOver > 2*hot.Reclaim), "the list's reclaim takes %.0f ns for a cold object and %.0f for a hot one%s", list.HandOver, hot.Reclaim, missesOf(list))
	} else {
		add(says, unknown, "")
	}
	says = "This greatly reducing the number of cache misses. The benefits are not subtle"
	if list != nil && array != nil {
		s := fmt.Sprintf("reclaim of a cold object: list %.0f ns, array %.1f (%.0f × less)", list.HandOver, array.HandOver, ratio(list.HandOver, array.HandOver))
		if sheaf != nil {
			s += fmt.Sprintf(", sheaf %.1f (%.0f × less); its next owner's first write takes %.0f", sheaf.HandOver, ratio(list.HandOver, sheaf.HandOver), sheaf.FirstWrite)
		}
		add(says, verdict(array.HandOver*2 < list.HandOver), "%s%s%s", s, missesOf(list), missesOf(array))
	} else {
		add(says, unknown, "")
	}
	says = "The weakness is that RCU traverses linked callback lists when invoking those callbacks."
	if call != nil && list != nil && array != nil {
		add(says, partly, "call_rcu here keeps its callbacks in arrays, not in a list, and takes %.1f ns for a cold object, %.1f × the array's %.1f (list: %.0f): a closure of each is left to fetch, from memory in the order of the calls, which the processor fetches ahead", call.HandOver, ratio(call.HandOver, array.HandOver), array.HandOver, list.HandOver)
	} else {
		add(says, unknown, "")
	}
	says = "In kernels built with CONFIG_PROVE_RAW_LOCK_NESTING=y this will result in a lockdep splat."
	if s := rep.survival("array", rt); s != nil && s.LDDied == "" {
		others := 0
		for _, x := range rep.Survival {
			if x.Strategy != "array" {
				others += len(x.Reports)
			}
		}
		add(says, verdict(len(s.Reports) > 0), "array: %s; all other strategies together: %s", plural(len(s.Reports), "report"), plural(others, "report"))
	} else {
		add(says, unknown, "")
	}
	says = "Worse yet, in -rt kernels, this can result in scheduling while atomic."
	if s, s0 := rep.survival("array", true), rep.survival("array", false); s != nil && s0 != nil {
		word := func(s *Survival) string {
			if s.Died != "" {
				return "died (" + s.Died + ")"
			}
			return "survived"
		}
		add(says, verdict(s.Died != "" && s0.Died == ""), "array in a raw context, the lock held elsewhere: with preempt_rt=1 it %s, with preempt_rt=0 it %s", word(s), word(s0))
	} else {
		add(says, unknown, "")
	}
	says = "This avoids adding any overhead to the slab-allocator fastpaths"
	add(says, supported, "an allocation's fast path does not read its flags: a test looks at its instructions (go test -run NeverReadsTheFlags ./tests/policy)")
	says = "Yes, memory allocation can fail, but in that rare case, kfree_rcu() just falls back to the old approach"
	if h := rep.hot("nolocks", Raw, rt, true); h != nil {
		p := rep.hot("nolocks", Plain, rt, false)
		s := fmt.Sprintf("nolocks with this P's lists exhausted: %.0f %% of the objects fall back", 100*h.Fallback)
		if p != nil {
			s += fmt.Sprintf("; with memory plenty %.1f %%", 100*p.Fallback)
		}
		if c := rep.cold("nolocks", Raw, rt, true); c != nil {
			s += fmt.Sprintf("; a cold flood under the same pressure costs %.0f ns an object at reclaim", c.HandOver)
		}
		v := supported
		if p != nil && p.Fallback > 0.05 {
			v = partly
		}
		add(says, v, "%s", s)
	} else {
		add(says, unknown, "")
	}
	says = "there is no way to detect raw atomic contexts in production kernels built with CONFIG_PREEMPT=n. Adding means to detect this would increase overhead on numerous fastpaths."
	if t := rep.Tracking; t != nil {
		add(says, partly, "a bare pin pair takes %.2f ns, with a counter %.2f (%+.0f %%), a raw lock's pair %.1f and %.1f with one more; but RCU's pinned readers count anyway (%.2f), so that asking costs slow paths %.2f ns and fast paths nothing", t.Bare, t.Counted, 100*(ratio(t.Counted, t.Bare)-1), t.Raw, t.Tracked, t.Disable, t.Atomic)
	} else {
		add(says, unknown, "")
	}
	says = "often requires fallbacks such as timers that can degrade energy efficiency and realtime response"
	if d, n := rep.light("defer", rt), rep.light("nolocks", rt); d != nil && n != nil {
		s := ""
		if c := rep.cold("defer", Raw, rt, true); c != nil {
			s = fmt.Sprintf("; and the queue is a list too: %.0f ns for a cold object to move and reclaim", c.HandOver)
		}
		add(says, verdict(d.WakeupsPS > 1.2*n.WakeupsPS), "an object a millisecond from a raw caller: %.0f wake-ups a second (nolocks: %.0f), and %.1f ms until an object is back (nolocks: %.1f)%s", d.WakeupsPS, n.WakeupsPS, d.LatencyMS, n.LatencyMS, s)
	} else {
		add(says, unknown, "")
	}
	says = "This results in unconditional callback-invocation cache misses for calls from raw contexts"
	if r, l := rep.hot("rawapi", Raw, rt, false), rep.hot("sheaf", Raw, rt, false); r != nil {
		s := fmt.Sprintf("rawapi: %.0f %% of raw callers' objects go on the list, with memory plenty", 100*r.Fallback)
		if l != nil {
			s += fmt.Sprintf(" (sheaf: %.1f %%)", 100*l.Fallback)
		}
		if c, sh := rep.cold("rawapi", Raw, rt, true), rep.cold("sheaf", Raw, rt, true); c != nil && sh != nil {
			s += fmt.Sprintf("; a cold flood costs %.0f ns an object at reclaim (sheaf: %.1f)", c.HandOver, sh.HandOver)
		}
		add(says, verdict(r.Fallback > 0.99), "%s", s)
	} else {
		add(says, unknown, "")
	}
	says = "This approach also forces developers to worry about two more RCU API members."
	add(says, supported, "%d in place of %d to choose from", Lookup("rawapi").Members, Lookup("nolocks").Members)
	says = "Move the memory allocator's spinlocks to raw_spinlock_t. This would be bad for realtime response"
	if l := rep.locks(true); l != nil {
		// The tail is the operating system's as much as the locks': partly, if
		// sections are longer and threads are not later at the median or the tail.
		v := verdict(l.Raw.PinnedMax > l.Spin.PinnedMax)
		if v == supported && l.Raw.WakeP50 < 1.2*l.Spin.WakeP50 && l.Raw.WakeP99 < 1.2*l.Spin.WakeP99 {
			v = partly
		}
		add(says, v, "under memory stress the longest pinned section is %.0f µs (%.0f with locks that sleep); a thread is woken up %.0f µs late at the median, %.0f at the 99th percentile and %.0f at most (%.0f, %.0f and %.0f)",
			l.Raw.PinnedMax/1e3, l.Spin.PinnedMax/1e3, l.Raw.WakeP50/1e3, l.Raw.WakeP99/1e3, l.Raw.WakeMax/1e3, l.Spin.WakeP50/1e3, l.Spin.WakeP99/1e3, l.Spin.WakeMax/1e3)
	} else {
		add(says, unknown, "")
	}
	says = "would likely require even more conversions when the allocator invokes other subsystems that also use non-raw spinlocks"
	can := 0
	for _, c := range Conversions {
		if c.Can {
			can++
		}
	}
	add(says, supported, "page and slab have %d locks that sleep: %d could be raw, %d protect system calls, waits or allocations", len(Conversions), can, len(Conversions)-can)
	return out
}

func missesOf(c *Cold) string {
	if c.Misses == nil {
		return ""
	}
	return fmt.Sprintf("; %s: %.2f cache misses an object", c.Strategy, *c.Misses)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
