package depcheck

import (
	"runtime"
	"strconv"
	"strings"

	"quiesce/internal/option"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// fault is a report before it has a text. Under locks and pinned only what can
// change is copied: names, usages, program counters. Symbols are looked up later.
type fault struct {
	next    *fault
	kind    string
	goid    uint64
	classes []string
	parts   []part
	full    uint32 // of TableFull: which table
}

// part is text, or a stack that will become text.
type part struct {
	text string
	pcs  []uintptr
	form uint8
}

const (
	formText  = iota
	formSite  // the user's innermost function, as name (file:line)
	formUser  // the innermost function outside of the library, in the same way
	formStack // all functions
)

// say adds text.
//
//go:norace
func (f *fault) say(texts ...string) {
	for _, s := range texts {
		f.parts = append(f.parts, part{text: s})
	}
}

// stack adds a stack.
//
//go:norace
func (f *fault) stack(pcs []uintptr, form uint8) {
	p := part{form: form}
	p.pcs = append(p.pcs, pcs...)
	f.parts = append(f.parts, p)
}

// report makes the report. No lock is held.
func (f *fault) report() *Report {
	rep := &Report{Kind: f.kind, Goroutine: f.goid, Classes: f.classes}
	if f.kind == TableFull {
		rep.Text = fullText(f.full)
		return rep
	}
	var b strings.Builder
	for _, p := range f.parts {
		switch p.form {
		case formText:
			b.WriteString(p.text)
		case formSite:
			writeSite(&b, p.pcs)
		case formUser:
			writeUser(&b, p.pcs)
		case formStack:
			writeStack(&b, p.pcs)
		}
	}
	rep.Text = b.String()
	return rep
}

func fullText(table uint32) string {
	what := map[uint32]string{
		fullClasses: "lock classes: " + strconv.Itoa(maxClasses-1) + "; locks of further ones are not checked",
		fullEdges:   "lock orders: " + strconv.Itoa(maxEdges-1) + "; further ones are not learned",
		fullChains:  "lock chains: " + strconv.Itoa(maxChains/4*3) + "; further ones are checked afresh each time, which is slow",
		fullStacks:  "stacks: " + strconv.Itoa(maxStacks-1) + "; further orders have none in reports",
		fullFaults:  "faults: " + strconv.Itoa(maxFaults) + "; further ones are not reported",
		fullTasks:   "goroutines that hold locks: " + strconv.Itoa(maxTasks) + "; locks of further ones are not checked",
		fullHeld:    "locks held by one goroutine: " + strconv.Itoa(maxHeld) + "; further ones are not checked",
	}[table]
	return "lockdep: table full: " + what
}

// writeSite writes the user's innermost function.
func writeSite(b *strings.Builder, pcs []uintptr) {
	frames := runtime.CallersFrames(pcs)
	for len(pcs) > 0 {
		f, more := frames.Next()
		if f.Function != "" && (!plumbing(f.Function) || !more) {
			writeFrame(b, f)
			return
		}
		if !more {
			break
		}
	}
	b.WriteString("an unknown place")
}

// writeUser writes the innermost function outside of the library, or as writeSite
// does if there is none.
func writeUser(b *strings.Builder, pcs []uintptr) {
	frames := runtime.CallersFrames(pcs)
	for more := len(pcs) > 0; more; {
		var f runtime.Frame
		if f, more = frames.Next(); outside(f) {
			writeFrame(b, f)
			return
		}
	}
	writeSite(b, pcs)
}

func writeFrame(b *strings.Builder, f runtime.Frame) {
	b.WriteString(shortName(f.Function) + " (" + baseName(f.File) + ":" + strconv.Itoa(f.Line) + ")")
}

func baseName(file string) string { return file[strings.LastIndexByte(file, '/')+1:] }

// frameWidth is from where a frame's function is written without the path of
// its package, which its file tells: 80 columns less what is around it.
const frameWidth = 80 - len("  (...)")

// writeStack writes a stack as Go's traces have it.
func writeStack(b *strings.Builder, pcs []uintptr) {
	frames := runtime.CallersFrames(pcs)
	user := false
	for len(pcs) > 0 {
		f, more := frames.Next()
		user = user || !plumbing(f.Function)
		if user && f.Function != "" && f.Function != "runtime.goexit" {
			name := f.Function
			if len(name) > frameWidth {
				name = shortName(name)
			}
			b.WriteString("  " + name + "(...)\n        " + f.File + ":" + strconv.Itoa(f.Line) + "\n")
		}
		if !more {
			break
		}
	}
	if !user {
		b.WriteString("  (not known)\n")
	}
}

// identity is the line that names the build and its mode.
var identity = func() string {
	rt := "0"
	if option.Bool("preempt_rt") {
		rt = "1"
	}
	tag := ""
	if Tagged {
		tag = " -tags lockdep"
	}
	return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + tag + " preempt_rt=" + rt + "\n"
}()

// banner begins a report, in the kernel's shape.
//
//go:norace
func (f *fault) banner(line string) {
	rule := func(c string) string { return strings.Repeat(c, len(line)) + "\n" }
	f.say("\n", rule("="), line, "\n", identity, rule("-"))
}

// open adds a fault to the request, about the calling goroutine.
//
//go:norace
func (r *request) open(kind string) *fault {
	f := &fault{next: r.fault, kind: kind, goid: r.goid}
	r.fault = f
	return f
}

func gname(goid uint64) string { return "goroutine " + strconv.FormatUint(goid, 10) }

// class writes a class as (name){usage}-{outer:inner}.
//
//go:norace
func (f *fault) class(n uint16) {
	c := &tables.classes[n]
	f.say("(", c.title(), "){", usageChars(c.usage.Load()), "}-{",
		strconv.Itoa(c.ty.outer().level()), ":", strconv.Itoa(c.ty.Inner.level()), "}")
}

// about adds classes to the report's list.
//
//go:norace
func (f *fault) about(classes ...uint16) {
	for _, n := range classes {
		f.classes = append(f.classes, tables.classes[n].title())
	}
}

// lock writes a lock's line, without the newline.
//
//go:norace
func (f *fault) lock(h *held) {
	f.say("0x", strconv.FormatUint(uint64(h.addr), 16), " ")
	f.class(h.class)
	switch h.read {
	case readPlain:
		f.say(" as a reader")
	case readRecursive:
		if h.flags&flagSection == 0 {
			f.say(" as a recursive reader")
		}
	}
	if h.flags&flagTried != 0 {
		f.say(" by TryLock")
	}
	f.say(", at: ")
	f.stack(h.pcs[:h.n], formSite)
}

// wants writes which goroutine takes which lock.
//
//go:norace
func (f *fault) wants(h *held) {
	f.say(gname(f.goid), " is trying to lock:\n")
	f.lock(h)
	f.say("\n")
}

// heldBy lists what the task holds, outermost first.
//
//go:norace
func (f *fault) heldBy(t *task) {
	switch t.depth {
	case 0:
		f.say("no locks held by ", gname(f.goid), ".\n")
	case 1:
		f.say("1 lock held by ", gname(f.goid), ":\n")
	default:
		f.say(strconv.Itoa(int(t.depth)), " locks held by ", gname(f.goid), ":\n")
	}
	for i := range t.depth {
		f.say(" #", strconv.Itoa(int(i)), ": ")
		f.lock(t.at(i))
		f.say("\n")
	}
}

// stacksOf writes the stack of each acquisition that the task holds.
//
//go:norace
func (f *fault) stacksOf(t *task) {
	for i := range t.depth {
		h := t.at(i)
		f.say("\n#", strconv.Itoa(int(i)), " (", tables.classes[h.class].title(), ") was taken at:\n")
		f.stack(h.pcs[:h.n], formStack)
	}
}

// context writes the state of the goroutine's context.
//
//go:norace
func (f *fault) context(t *task) {
	n := strconv.Itoa(t.kernelContext().level())
	f.say("context-{", n, ":", n, "}")
	switch {
	case t.hardirq > 0:
		f.say(", hard interrupt handler")
	case t.threaded > 0:
		f.say(", interrupt handler that preempt_rt=1 makes a thread")
	case t.softirq > 0:
		f.say(", softirq handler")
	case t.irqsOff > 0:
		f.say(", interrupts disabled")
	case t.bhOff > 0:
		f.say(", softirqs disabled")
	}
	if n := t.bare(); n > 0 {
		f.say(", pinned (preempt.Disable, DisableIRQ or Hardirq, ", strconv.Itoa(int(n)), " deep)")
	}
	f.say("\n")
}

// end writes what every report ends with.
//
//go:norace
func (f *fault) end(t *task, pcs []uintptr) {
	f.heldBy(t)
	f.stacksOf(t)
	f.say("\nstack backtrace:\n")
	f.stack(pcs, formStack)
}

// usageChars are the four characters {hardirq, hardirq read, softirq, softirq
// read}: '-' in handlers, '+' with the interrupts on, '?' both, '.' neither.
func usageChars(u uint32) string {
	var s [4]byte
	for i, b := range [4]uint32{0, bitRead, bitSoftirq, bitSoftirq + bitRead} {
		in, on := u&(1<<b) != 0, u&(1<<(b+bitOn)) != 0
		switch {
		case in && on:
			s[i] = '?'
		case in:
			s[i] = '-'
		case on:
			s[i] = '+'
		default:
			s[i] = '.'
		}
	}
	return string(s[:])
}

// usageName is the kernel's name of a bit.
func usageName(b uint32) string {
	name := "HARDIRQ"
	if b&bitSoftirq != 0 {
		name = "SOFTIRQ"
	}
	if b&bitOn == 0 {
		name = "IN-" + name
	} else {
		name += "-ON"
	}
	if b&bitRead != 0 {
		return name + "-R"
	}
	return name + "-W"
}

// irqName is the interrupt that a bit is about.
func irqName(b uint32) string {
	if b&bitSoftirq != 0 {
		return "SOFTIRQ"
	}
	return "HARDIRQ"
}

// atomicity are the figures of might_sleep's report.
func (t *task) atomicity() (nest uint64, irqsOff bool, sections int) {
	c := percpu.Pin()
	nest, irqsOff = c.Nest, c.IRQOff != 0 || t.irqsOff > 0
	sys.ProcUnpin()
	for i := range t.depth {
		if ty := tables.classes[t.at(i).class].ty; ty == &RCU.Type || ty == &RCUBH.Type {
			sections++
		}
	}
	return nest, irqsOff, sections
}
