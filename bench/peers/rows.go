package main

import (
	"embed"
	"io/fs"
	"regexp"

	"quiesce/bench/internal/harness"
)

// group is a piece of work, and the peers that do it.
type group struct {
	id    string
	title string
	size  size
	rows  []row
}

// size is how much a child measures at a time.
type size struct {
	ns      float64 // of a batch
	batches int
	objects int // of a flood; threads, of readers
	mode    string
}

// row is one peer's way to do a group's work.
type row struct {
	name    string
	base    bool   // its ratio is 1.00
	goChild string // the name of its function in children; "": it is in C
	prog    harness.Program
	long    bool // its batches are longer: the collector runs every few milliseconds
}

// The C programs' sources are in the binary: the command runs from anywhere.
//
//go:embed c
var embedded embed.FS

var sources, _ = fs.Sub(embedded, "c") // a valid name: no error

// packages are what the C peers need.
var packages = []harness.Package{
	{Name: "liburcu-dev", Probe: "#include <urcu/urcu-memb.h>", Libs: "-lurcu-memb -lurcu-qsbr -lurcu-bp"},
	{Name: "libck-dev", Probe: "#include <ck_epoch.h>", Libs: "-lck"},
	{Name: "libjemalloc-dev", Libs: "-Wl,--no-as-needed -ljemalloc"},
	{Name: "libmimalloc-dev", Libs: "-Wl,--no-as-needed -lmimalloc"},
}

// Batches are shorter than a time slice, so that those which another process
// disturbed can be outvoted. Where work is handed from thread to thread, or the
// collector is part of it, they are long.
var (
	short = size{ns: 250e3, batches: 101}
	long  = size{ns: 4e6, batches: 11}
)

func (s size) of(mode string, objects int) size {
	s.mode, s.objects = mode, objects
	return s
}

func goRow(name, child string) row { return row{name: name, goChild: child} }

func based(r row) row { r.base = true; return r }

func collected(r row) row { r.long = true; return r }

func urcu(name, source, flavour string, defines ...string) row {
	return row{name: name, prog: harness.Program{Source: source, Defines: defines, Libs: []string{"-lurcu-" + flavour}, Packages: []string{"liburcu-dev"}}}
}

func ck(name, source string) row {
	return row{name: name, prog: harness.Program{Source: source, Defines: []string{"PEER_ck"}, Libs: []string{"-lck"}, Packages: []string{"libck-dev"}}}
}

// allocators are what a C program can be linked with.
var allocators = []struct{ name, library, pkg string }{
	{"glibc", "libc", ""},
	{"jemalloc", "jemalloc", "libjemalloc-dev"},
	{"mimalloc", "mimalloc", "libmimalloc-dev"},
}

// onEach is a row on each allocator.
func onEach(r row) (rows []row) {
	for _, a := range allocators {
		s := r
		if s.name != "" {
			s.name += ", "
		}
		s.name += a.name
		s.prog.Defines = append(append([]string(nil), s.prog.Defines...), `ALLOCATOR="`+a.library+`"`)
		s.prog.Libs, s.prog.Packages = append([]string(nil), s.prog.Libs...), append([]string(nil), s.prog.Packages...)
		if a.pkg != "" {
			s.prog.Libs = append([]string{"-Wl,--no-as-needed", "-l" + a.library}, s.prog.Libs...)
			s.prog.Packages = append(s.prog.Packages, a.pkg)
		}
		rows = append(rows, s)
	}
	return rows
}

func join(parts ...[]row) (rows []row) {
	for _, p := range parts {
		rows = append(rows, p...)
	}
	return rows
}

func readers() []row {
	return []row{
		based(goRow("Quiesce rcu.ReadLock", "readers/rcu")),
		goRow("Quiesce rcu.Reader", "readers/reader"),
		goRow("Quiesce preempt.Disable", "readers/pinned"),
		goRow("Go bare procPin pair", "readers/procpin"),
		goRow("Go sync.RWMutex", "readers/rwmutex"),
		goRow("Go xsync.RBMutex", "readers/rbmutex"),
		goRow("Go atomic.Pointer load", "readers/pointer"),
		urcu("C liburcu-memb, called", "readers.c", "memb", "PEER_memb"),
		urcu("C liburcu-qsbr (no-op)", "readers.c", "qsbr", "PEER_qsbr"),
		urcu("C liburcu-bp, called", "readers.c", "bp", "PEER_bp"),
		ck("C ck_epoch, inlined", "readers.c"),
	}
}

// malloc is the allocators' own program.
func malloc() []row { return onEach(row{name: "C", prog: harness.Program{Source: "alloc.c"}}) }

// deferred are the C peers that free later, and free at once for comparison.
func deferred() []row {
	return join(
		onEach(row{name: "C free at once", prog: harness.Program{Source: "reclaim.c", Defines: []string{"PEER_free"}}}),
		onEach(ck("C ck_epoch, polled by caller", "reclaim.c")),
		onEach(urcu("C liburcu defer_rcu", "reclaim.c", "memb", "PEER_defer_rcu")),
		onEach(urcu("C liburcu call_rcu", "reclaim.c", "memb", "PEER_call_rcu")),
	)
}

// inOneThread are rows that allocate and free in one thread.
func inOneThread() []row {
	return join([]row{
		based(goRow("Quiesce Alloc, Free", "alloc/quiesce")),
		goRow("Quiesce Sheaf.Alloc, Free", "alloc/sheaf"),
		collected(goRow("Go new, collected", "alloc/new")),
		goRow("Go sync.Pool", "alloc/pool"),
		goRow("Go modernc.org/memory", "alloc/modernc"),
	}, malloc())
}

// allGroups is the whole table.
func allGroups() []group {
	return []group{
		{"readers1", "Empty read-side pair, 1 thread", short.of("", 1), readers()},
		{"readers2", "Empty read-side pair, in each of 2 threads at once", size{ns: 250e3, batches: 601}.of("", 2), readers()},
		{"hot", "Allocate and free one object of 64 B, hot", short.of("hot", 1), join(inOneThread(), []row{goRow("Quiesce Kmalloc, Kfree", "alloc/kmalloc")})},
		{"shuffled", "10,000 of 64 B allocated, then freed in shuffled order, per pair", short.of("shuffled", 1), inOneThread()},
		{"remote", "64 B allocated in one thread, freed in another, per object", long.of("remote", 1), join([]row{
			based(goRow("Quiesce Alloc, Free", "alloc/quiesce")),
			goRow("Quiesce Alloc, FreeBulk", "alloc/quiesce-bulk"),
			goRow("Go new, collected", "alloc/new"),
			goRow("Go sync.Pool", "alloc/pool"),
			goRow("Go modernc.org/memory, locked", "alloc/modernc"),
		}, malloc())},
		{"churn", "1000 of 64 B allocated, then freed after a grace period, for ever", size{ns: 20e6, batches: 8, objects: 1, mode: "churn"}, join([]row{
			based(goRow("Quiesce Alloc, FreeRCU", "reclaim/quiesce")),
			goRow("Quiesce Sheaf.Alloc, FreeRCU", "reclaim/sheaf"),
			goRow("Quiesce Alloc, rcu.Batch", "reclaim/batch"),
			goRow("Quiesce Alloc, Free at once", "reclaim/quiesce-free"),
			goRow("Go new, collected", "reclaim/new"),
		}, deferred())},
		{"flood", "Flood of cold, shuffled 64 B objects: from enqueuing to reclaimed", size{ns: 20e6, batches: 1, objects: floodObjects, mode: "flood"}, join([]row{
			based(goRow("Quiesce FreeRCU, hand-over", "reclaim/quiesce")),
			goRow("Quiesce FreeRCU, as it comes", "reclaim/quiesce-auto"),
			goRow("Quiesce FreeRCU, kfree_bulk", "reclaim/quiesce-bulk"),
			goRow("Quiesce rcu.Batch", "reclaim/batch"),
			goRow("Go new, runtime.GC", "reclaim/new"),
		}, deferred())},
		{"sync", "Grace period without readers", short.of("sync", 1), []row{
			based(goRow("Quiesce rcu.Synchronize", "gp/rcu")),
			goRow("bare membarrier", "gp/membarrier"),
			urcu("C liburcu-memb", "gp.c", "memb"),
		}},
		{"busy", "Grace period with one busy reader, sections of 1 us", size{ns: 1e6, batches: 41}.of("busy", 1), []row{
			based(goRow("Quiesce rcu.Synchronize, ReadLock reader", "gp/rcu")),
			goRow("Quiesce rcu.Synchronize, pinned reader", "gp/pinned"),
			goRow("bare membarrier, pinned reader", "gp/membarrier"),
			urcu("C liburcu-memb", "gp.c", "memb"),
		}},
		{"call", "Callback asked for, until it runs", size{ns: 20e6, batches: 5}.of("call", 1), []row{
			based(goRow("Quiesce rcu.Call", "gp/rcu")),
			urcu("C liburcu-memb call_rcu", "gp.c", "memb"),
		}},
	}
}

const (
	floodObjects     = 500_000
	floodObjectsFull = 4_000_000
)

// sized is what a row's child is to measure.
func (g *group) sized(r *row, o options) size {
	s := g.size
	if r.long {
		s.ns, s.batches = long.ns, long.batches
	}
	if o.full && g.id == "flood" {
		s.objects = floodObjectsFull
	}
	if o.quick {
		s.batches = (s.batches + 9) / 10
		if g.id == "flood" {
			s.objects /= 10
		}
	}
	return s
}

// choose keeps the rows that are wanted, and the one that each group of them
// is compared with.
func choose(groups []group, want *regexp.Regexp) (chosen []group) {
	for _, g := range groups {
		var rows []row
		hit := false
		for _, r := range g.rows {
			matches := want.MatchString(g.id + "/" + r.name)
			hit = hit || matches
			if matches || r.base {
				rows = append(rows, r)
			}
		}
		if g.rows = rows; hit {
			chosen = append(chosen, g)
		}
	}
	return chosen
}

// names are those of the rows, as -run matches them.
func names(groups []group) []string {
	return harness.RowNames(groups, func(g group) (string, []row) { return g.id, g.rows }, func(r row) string { return r.name })
}
