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

// claimTable has the mail's sentences in their order. measure checks one
// against a report and returns a verdict and the figures that lead to it, or
// two empty strings if a figure is missing.
var claimTable = []struct {
	says    string
	measure func(rep *Report) (verdict, figure string)
}{
	{"Because the just-ended grace period will have rendered these lists cache-cold, this results in an expensive cache miss on each and every callback invocation.", (*Report).listIsCold},
	{"This greatly reducing the number of cache misses. The benefits are not subtle", (*Report).arraysSaveMisses},
	{"The weakness is that RCU traverses linked callback lists when invoking those callbacks.", (*Report).callTraverses},
	{"In kernels built with CONFIG_PROVE_RAW_LOCK_NESTING=y this will result in a lockdep splat.", (*Report).lockdepReports},
	{"Worse yet, in -rt kernels, this can result in scheduling while atomic.", (*Report).schedulesWhileAtomic},
	{"This avoids adding any overhead to the slab-allocator fastpaths", fastPathIsUntouched},
	{"Yes, memory allocation can fail, but in that rare case, kfree_rcu() just falls back to the old approach", (*Report).fallbackIsRare},
	{"there is no way to detect raw atomic contexts in production kernels built with CONFIG_PREEMPT=n. Adding means to detect this would increase overhead on numerous fastpaths.", (*Report).trackingCosts},
	{"often requires fallbacks such as timers that can degrade energy efficiency and realtime response", (*Report).timersCost},
	{"This results in unconditional callback-invocation cache misses for calls from raw contexts", (*Report).rawCallersMiss},
	{"This approach also forces developers to worry about two more RCU API members.", moreMembers},
	{"Move the memory allocator's spinlocks to raw_spinlock_t. This would be bad for realtime response", (*Report).rawLocksAreBad},
	{"would likely require even more conversions when the allocator invokes other subsystems that also use non-raw spinlocks", moreConversions},
}

// claims checks the mail's sentences against the report.
func (rep *Report) claims() (out []Claim) {
	for _, c := range claimTable {
		v, figure := c.measure(rep)
		if v == "" {
			v = unknown
		}
		out = append(out, Claim{c.says, v, figure})
	}
	return out
}

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

// mode is the preempt_rt of the claims that name none.
const mode = true

// coldPlain is a flood by plain callers with memory plenty.
func (rep *Report) coldPlain(name string) *Cold { return rep.cold(name, Plain, mode, false) }

func (rep *Report) listIsCold() (string, string) {
	list, hot := rep.coldPlain("list"), rep.hot("list", Plain, mode, false)
	if list == nil || hot == nil {
		return "", ""
	}
	return verdict(list.HandOver > 2*hot.Reclaim), fmt.Sprintf("the list's reclaim takes %.0f ns for a cold object and %.0f for a hot one%s",
		list.HandOver, hot.Reclaim, missesOf(list))
}

func (rep *Report) arraysSaveMisses() (string, string) {
	list, array, sheaf := rep.coldPlain("list"), rep.coldPlain("array"), rep.coldPlain("sheaf")
	if list == nil || array == nil {
		return "", ""
	}
	s := fmt.Sprintf("reclaim of a cold object: list %.0f ns, array %.1f (%.0f × less)", list.HandOver, array.HandOver, ratio(list.HandOver, array.HandOver))
	if sheaf != nil {
		s += fmt.Sprintf(", sheaf %.1f (%.0f × less); its next owner's first write takes %.0f", sheaf.HandOver, ratio(list.HandOver, sheaf.HandOver), sheaf.FirstWrite)
	}
	return verdict(array.HandOver*2 < list.HandOver), s + missesOf(list) + missesOf(array)
}

func (rep *Report) callTraverses() (string, string) {
	list, array, call := rep.coldPlain("list"), rep.coldPlain("array"), rep.coldPlain("callrcu")
	if call == nil || list == nil || array == nil {
		return "", ""
	}
	return partly, fmt.Sprintf("call_rcu here keeps its callbacks in arrays, not in a list, and takes %.1f ns for a cold object, %.1f × the array's %.1f (list: %.0f): each leaves a closure to fetch, from memory in the order of the calls, which the processor prefetches",
		call.HandOver, ratio(call.HandOver, array.HandOver), array.HandOver, list.HandOver)
}

func (rep *Report) lockdepReports() (string, string) {
	s := rep.survival("array", mode)
	if s == nil || s.LDDied != "" {
		return "", ""
	}
	others := 0
	for _, x := range rep.Survival {
		if x.Strategy != "array" {
			others += len(x.Reports)
		}
	}
	return verdict(len(s.Reports) > 0), fmt.Sprintf("array: %s; all other strategies together: %s", plural(len(s.Reports), "report"), plural(others, "report"))
}

func (rep *Report) schedulesWhileAtomic() (string, string) {
	rt, other := rep.survival("array", true), rep.survival("array", false)
	if rt == nil || other == nil {
		return "", ""
	}
	fate := func(s *Survival) string {
		if s.Died != "" {
			return "died (" + s.Died + ")"
		}
		return "survived"
	}
	return verdict(rt.Died != "" && other.Died == ""), fmt.Sprintf("array in a raw context, the lock held elsewhere: with preempt_rt=1 it %s, with preempt_rt=0 it %s", fate(rt), fate(other))
}

func fastPathIsUntouched(*Report) (string, string) {
	return supported, "an allocation's fast path does not read its flags: a test checks its instructions (go test -run NeverReadsTheFlags ./tests/policy)"
}

func (rep *Report) fallbackIsRare() (string, string) {
	raw, plain := rep.hot("nolocks", Raw, mode, true), rep.hot("nolocks", Plain, mode, false)
	if raw == nil {
		return "", ""
	}
	v, s := supported, fmt.Sprintf("nolocks with this P's lists exhausted: %.0f %% of the objects fall back", 100*raw.Fallback)
	if plain != nil {
		s += fmt.Sprintf("; with memory plenty %.1f %%", 100*plain.Fallback)
		if plain.Fallback > 0.05 {
			v = partly
		}
	}
	if c := rep.cold("nolocks", Raw, mode, true); c != nil {
		s += fmt.Sprintf("; a cold flood under the same pressure costs %.0f ns an object at reclaim", c.HandOver)
	}
	return v, s
}

func (rep *Report) trackingCosts() (string, string) {
	t := rep.Tracking
	if t == nil {
		return "", ""
	}
	return partly, fmt.Sprintf("a bare pin pair takes %.2f ns, with a counter %.2f (%+.0f %%), a raw lock's pair %.1f and %.1f with one more; but RCU's pinned readers count anyway (%.2f), so asking costs slow paths %.2f ns and fast paths nothing",
		t.Bare, t.Counted, 100*(ratio(t.Counted, t.Bare)-1), t.Raw, t.Tracked, t.Disable, t.Atomic)
}

func (rep *Report) timersCost() (string, string) {
	d, n := rep.light("defer", mode), rep.light("nolocks", mode)
	if d == nil || n == nil {
		return "", ""
	}
	s := fmt.Sprintf("an object a millisecond from a raw caller: %.0f wake-ups a second (nolocks: %.0f), and %.1f ms until an object is back (nolocks: %.1f)",
		d.WakeupsPS, n.WakeupsPS, d.LatencyMS, n.LatencyMS)
	if c := rep.cold("defer", Raw, mode, true); c != nil {
		s += fmt.Sprintf("; and the queue is a list too: %.0f ns for a cold object to move and reclaim", c.HandOver)
	}
	return verdict(d.WakeupsPS > 1.2*n.WakeupsPS), s
}

func (rep *Report) rawCallersMiss() (string, string) {
	raw, sheaf := rep.hot("rawapi", Raw, mode, false), rep.hot("sheaf", Raw, mode, false)
	if raw == nil {
		return "", ""
	}
	s := fmt.Sprintf("rawapi: %.0f %% of raw callers' objects go on the list, with memory plenty", 100*raw.Fallback)
	if sheaf != nil {
		s += fmt.Sprintf(" (sheaf: %.1f %%)", 100*sheaf.Fallback)
	}
	if c, sh := rep.cold("rawapi", Raw, mode, true), rep.cold("sheaf", Raw, mode, true); c != nil && sh != nil {
		s += fmt.Sprintf("; a cold flood costs %.0f ns an object at reclaim (sheaf: %.1f)", c.HandOver, sh.HandOver)
	}
	return verdict(raw.Fallback > 0.99), s
}

func moreMembers(*Report) (string, string) {
	return supported, fmt.Sprintf("%d instead of %d to choose from", Lookup("rawapi").Members, Lookup("nolocks").Members)
}

func (rep *Report) rawLocksAreBad() (string, string) {
	l := rep.locks(mode)
	if l == nil {
		return "", ""
	}
	// The tail is the operating system's as much as the locks': partly, if
	// sections are longer and threads are not later at the median or the tail.
	v := verdict(l.Raw.PinnedMax > l.Spin.PinnedMax)
	if v == supported && l.Raw.WakeP50 < 1.2*l.Spin.WakeP50 && l.Raw.WakeP99 < 1.2*l.Spin.WakeP99 {
		v = partly
	}
	return v, fmt.Sprintf("under memory stress the longest pinned section is %.0f µs (%.0f with locks that sleep); a thread wakes up %.0f µs late at the median, %.0f at the 99th percentile and %.0f at most (%.0f, %.0f and %.0f)",
		l.Raw.PinnedMax/1e3, l.Spin.PinnedMax/1e3, l.Raw.WakeP50/1e3, l.Raw.WakeP99/1e3, l.Raw.WakeMax/1e3, l.Spin.WakeP50/1e3, l.Spin.WakeP99/1e3, l.Spin.WakeMax/1e3)
}

func moreConversions(*Report) (string, string) {
	can := 0
	for _, c := range Conversions {
		if c.Can {
			can++
		}
	}
	return supported, fmt.Sprintf("page and slab have %d locks that sleep: %d could be raw, %d protect system calls, waits or allocations", len(Conversions), can, len(Conversions)-can)
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
