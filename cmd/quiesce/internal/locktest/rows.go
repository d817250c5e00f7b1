package locktest

import (
	_ "embed"
	"strings"

	"quiesce/lockdep"
)

// section is a table: rows of one verdict for each column.
type section struct {
	title   string
	columns []string
	rows    []row
}

// row is one test for each column that has a letter in verdicts (doc.go).
type row struct {
	name     string
	verdicts string
	kind     string            // of the report
	kinds    map[string]string // the same by column, where they differ
	script   string            // or
	body     func(b *bench)

	// For scripts that are about interrupts.
	permute bool     // in every order of the events
	last    []string // kind, by the event that comes last
	soft    bool     // irq and off are those of softirqs

	order []int // of the events; nil: as written
}

func (r *row) events() []string {
	events := strings.Split(r.script, ";")
	if r.order == nil {
		return events
	}
	var ordered []string
	for _, i := range r.order {
		ordered = append(ordered, events[i])
	}
	return ordered
}

const (
	circular  = lockdep.Circular
	recursion = lockdep.Recursion
	state     = lockdep.InconsistentState
	inversion = lockdep.IrqInversion
	order     = lockdep.UnsafeOrder
	balance   = lockdep.UnlockBalance
	wait      = lockdep.InvalidWaitContext
	sleeping  = lockdep.Sleeping
	rcuUsage  = lockdep.SuspiciousRCU
	stillHeld = lockdep.StillHeld
	heldInit  = lockdep.HeldLockInit
)

// sections are all tables, in the order in which they are shown.
func sections() []section {
	return []section{
		{"Wait context tests", []string{"rcu", "raw", "spin", "mutex"}, matrix()},
		{"Other wait contexts", []string{"verdict"}, scripts["waits"]},
		{"Deadlocks, and misuse of one lock", []string{"raw", "spin", "wlock", "rlock", "qread", "mutex"}, scripts["deadlocks"]},
		{"Readers and writers", []string{"rlock", "qread"}, expand(scripts["mixed"])},
		{"Subclasses (LockNested)", []string{"raw", "spin", "wlock", "mutex"}, scripts["nested"]},
		{"TryLock", []string{"raw", "spin", "wlock", "rlock", "qread", "mutex"}, scripts["tries"]},
		{"Interrupts", []string{"raw", "spin", "wlock", "rlock", "qread"}, expand(scripts["irqs"])},
		{"LockIRQ", []string{"raw", "spin", "wlock", "qread"}, scripts["lockIRQs"]},
		{"lock.Local", []string{"verdict"}, scripts["locals"]},
		{"Sleeping and allocation", []string{"sleep", "Kernel", "Atomic", "NoWait", "NoLocks"}, sleeps()},
		{"RCU, and what is left at the end", []string{"verdict"}, rcuRows},
	}
}

// matrix is the kernel's: contexts, and what may be taken in them.
func matrix() (rows []row) {
	taken := map[string]string{"rcu": "rcu{ }", "raw": "P:B", "spin": "S:B", "mutex": "M:B"}
	for _, c := range []struct{ name, outer, verdicts string }{
		{"hardirq (threadable)", "threaded{ %s }", "...x"},
		{"hardirq (not threaded)", "hardirq{ %s }", "..nx"},
		{"softirq", "softirq{ %s }", "...x"},
		{"rcu_read_lock", "rcu{ %s }", "...t"},
		{"rcu_read_lock_bh", "rcubh{ %s }", "...t"},
		{"rcu_read_lock_sched", "sched{ %s }", "..nx"},
		{"raw_spinlock_t", "P:A %s", "..nx"},
		{"spinlock_t", "S:A %s", "...x"},
		{"mutex", "M:A %s", "...."},
	} {
		rows = append(rows, row{name: c.name, verdicts: c.verdicts, kind: wait, body: func(b *bench) {
			b.run([]string{strings.Replace(c.outer, "%s", taken[b.column], 1)})
		}})
	}
	return rows
}

//go:embed rows.txt
var rowsText string

// kindNames are the kinds of reports as rows.txt names them.
var kindNames = map[string]string{
	"": "", "circular": circular, "recursion": recursion, "state": state, "inversion": inversion,
	"order": order, "balance": balance, "wait": wait, "heldInit": heldInit,
}

// scripts are the rows of rows.txt, by table.
var scripts = parseRows(rowsText)

// parseRows panics where the text is no table.
func parseRows(text string) map[string][]row {
	tables := map[string][]row{}
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			table = strings.Trim(line, "[]")
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			panic("locktest: no row: " + line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := row{name: cells[0], verdicts: strings.ReplaceAll(cells[1], "_", " "), script: cells[3]}
		r.script, r.permute = strings.CutPrefix(r.script, "any order: ")
		r.script, r.soft = strings.CutPrefix(r.script, "soft: ")
		for name := range strings.SplitSeq(cells[2], "/") {
			kind, ok := kindNames[name]
			if !ok {
				panic("locktest: no kind of report: " + line)
			}
			r.last = append(r.last, kind)
		}
		if len(r.last) == 1 {
			r.kind, r.last = r.last[0], nil
		}
		tables[table] = append(tables[table], r)
	}
	return tables
}
