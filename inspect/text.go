package inspect

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// The text pages, for a terminal and for scripts: a line an object, columns that
// white space separates.

// word returns a name as one word: quoted, if it is none.
func word(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return strings.ReplaceAll(strconv.Quote(s), " ", `\x20`)
	}
	return s
}

// column returns names as cells of one width, so that they are flush left where
// numbers are flush right.
func column[T any](title string, list []T, nameOf func(T) string) (head string, cells []string) {
	width := utf8.RuneCountInString(title)
	for _, e := range list {
		cells = append(cells, word(nameOf(e)))
		width = max(width, utf8.RuneCountInString(cells[len(cells)-1]))
	}
	for i, c := range cells {
		cells[i] = fmt.Sprintf("%-*s", width, c)
	}
	return fmt.Sprintf("%-*s", width, title), cells
}

// writeSlabinfo writes the columns of Linux's /proc/slabinfo, version 2.1: what
// reads that reads this. Objects in sheaves count as active there, too.
func writeSlabinfo(b *bytes.Buffer, s State) {
	b.WriteString("slabinfo - version: 2.1\n")
	w := tabwriter.NewWriter(b, 0, 0, 1, ' ', tabwriter.AlignRight)
	head, names := column("# name", s.SlabCaches, func(c SlabCache) string { return c.Name })
	fmt.Fprint(w, head+"\t <active_objs>\t <num_objs>\t <objsize>\t <objperslab>\t <pagesperslab>\t")
	fmt.Fprint(w, " : tunables\t <limit>\t <batchcount>\t <sharedfactor>\t : slabdata\t <active_slabs>\t <num_slabs>\t <sharedavail>\t\n")
	for i, c := range s.SlabCaches {
		fmt.Fprintf(w, "%s\t %d\t %d\t %d\t %d\t %d\t : tunables\t %d\t %d\t 0\t : slabdata\t %d\t %d\t %d\t\n",
			names[i], c.Out, c.Objects, c.ObjectSize, c.SlabBytes/max(c.ObjectSize, 1), c.SlabBytes>>12,
			c.SheafCap, c.SheafCap, c.Slabs, c.Slabs, c.Cached)
	}
	_ = w.Flush() // to memory
}

func writeCaches(b *bytes.Buffer, s State) {
	table(b, "allocator", "resident\tlimit\tpeak\tin_use\tfree_populated\twaits\tfailures", s.Allocators, func(a Allocator) (string, string) {
		return a.Name, fmt.Sprintf("%d\t%d\t%d\t%d\t%d\t%d\t%d", a.Resident, a.Limit, a.Peak, a.InUse, a.FreePopulated, a.Waits, a.Failures)
	})
	table(b, "slab_cache", "allocator\tbytes\tlive_bytes\tfill\tlive\tcached\tdeferred\theld\tobject", s.SlabCaches, func(c SlabCache) (string, string) {
		return c.Name, fmt.Sprintf("%s\t%d\t%d\t%.3f\t%d\t%d\t%d\t%d\t%d",
			word(c.Allocator), c.Bytes, c.LiveBytes, c.Fill, c.Live, c.Cached, c.Deferred, c.Held, c.ObjectSize)
	})
	table(b, "map", "allocator\tkeys\tbytes\ttable", s.Maps, func(m Map) (string, string) {
		return m.Name, fmt.Sprintf("%s\t%d\t%d\t%d", word(m.Allocator), m.Keys, m.Bytes, m.Table)
	})
	table(b, "cache", "allocator\tentries\tbytes\tmax_bytes\thit_ratio\tsets\tevictions", s.Caches, func(c Cache) (string, string) {
		return c.Name, fmt.Sprintf("%s\t%d\t%d\t%d\t%.4f\t%d\t%d", word(c.Allocator), c.Entries, c.Bytes, c.MaxBytes, c.HitRatio, c.Sets, c.Evictions)
	})
}

// table writes a line for each object, and an empty one after them.
func table[T any](b *bytes.Buffer, kind, columns string, list []T, line func(T) (name, cells string)) {
	if len(list) == 0 {
		return
	}
	head, names := column(kind, list, func(e T) string { name, _ := line(e); return name })
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\t%s\t\n", head, columns)
	for i, e := range list {
		_, cells := line(e)
		fmt.Fprintf(w, "%s\t%s\t\n", names[i], cells)
	}
	_ = w.Flush()
	b.WriteByte('\n')
}

func writeRCU(b *bytes.Buffer, s State) {
	r := s.RCU
	for _, line := range []struct {
		key   string
		value any
	}{
		{"grace_periods", r.GracePeriods}, {"expedited", r.Expedited}, {"in_progress", r.InProgress},
		{"callbacks", r.Callbacks}, {"invoked", r.Invoked}, {"callbacks_waiting", r.CallbacksWaiting}, {"barriers_waiting", r.BarriersWaiting},
		{"deferred_bytes", r.DeferredBytes},
		{"readers_preemptible", r.Readers.Preemptible}, {"readers_pinned", r.Readers.Pinned}, {"readers_registered", r.Readers.Registered},
		{"readers_in_section", r.Readers.InSection}, {"readers_dropped", r.Readers.Dropped},
		{"stalls", r.Stalls},
	} {
		fmt.Fprintf(b, "%-20s %v\n", line.key, line.value)
	}
	if r.WaitsFor != "" {
		fmt.Fprintf(b, "\nThe grace period waits for %s, for %v now.\n", r.WaitsFor, time.Duration(r.WaitingNS))
	}
	if r.Stall != "" {
		fmt.Fprintf(b, "A stall was reported: %s has held it up for %v.\n", r.Stall, time.Duration(r.StallNS).Round(time.Millisecond))
	}
	for _, c := range r.Running {
		fmt.Fprintf(b, "A callback runs for %v: %s\n", time.Duration(c.RanNS), strings.TrimSpace(c.Batch+" "+c.Func))
	}
	if len(r.Events) > 0 {
		b.WriteString("\nreports:\n")
	}
	for _, e := range r.Events {
		fmt.Fprintf(b, "%s  %-8s  %v  %s\n", e.Time.Format(time.RFC3339), e.Kind, time.Duration(e.LastedNS).Round(time.Millisecond), e.What)
	}
}
