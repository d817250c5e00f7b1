package locktest

import (
	"fmt"
	"strings"

	"quiesce/lock"
	"quiesce/lockdep"
)

// bench is where one test runs: its locks, and what it holds. It is owned by
// the test's goroutine.
type bench struct {
	column string
	soft   bool // irq{ and off are about softirqs
	real   bool // hard interrupts pin: all locks are lock.Raw
	locks  map[string]any
	last   map[string]func() // the last way each lock was to be released
	held   []hold
	ends   []end // contexts that an event has open
}

type hold struct {
	name   string
	unlock func()
}

type end struct {
	word string
	fn   func()
}

// step is a word of a script, ready to run: nothing is looked up while the
// goroutine may be pinned.
type step func(b *bench)

// script makes the steps of a row. events are in the order in which they run.
func (b *bench) script(events []string) []step {
	b.real = b.column == "raw"
	for _, e := range events {
		for _, w := range strings.Fields(e) {
			if k, _, ok := strings.Cut(strings.TrimPrefix(w, "-"), ":"); ok && k != "init" && k != "P" {
				b.real = false
			}
		}
	}
	var steps []step
	for _, e := range events {
		words := strings.Fields(e)
		var event []step
		for len(words) > 0 {
			var s step
			s, words = b.word(words)
			event = append(event, s)
		}
		steps = append(steps, func(b *bench) { b.event(event) })
	}
	return steps
}

// event runs steps and releases what they leave held or open, even if one of
// them panics.
func (b *bench) event(steps []step) {
	held, ends := len(b.held), len(b.ends)
	defer func() {
		for len(b.held) > held {
			b.pop(len(b.held) - 1)
		}
		for len(b.ends) > ends {
			b.end(b.ends[len(b.ends)-1].word)
		}
	}()
	for _, s := range steps {
		s(b)
	}
}

func (b *bench) pop(i int) {
	h := b.held[i]
	b.held = append(b.held[:i], b.held[i+1:]...)
	h.unlock()
}

// release ends the last hold of a lock, or one that is not there.
func (b *bench) release(name string) {
	for i := len(b.held) - 1; i >= 0; i-- {
		if b.held[i].name == name {
			b.pop(i)
			return
		}
	}
	b.last[name]()
}

func (b *bench) end(word string) {
	for i := len(b.ends) - 1; i >= 0; i-- {
		if e := b.ends[i]; e.word == word {
			b.ends = append(b.ends[:i], b.ends[i+1:]...)
			e.fn()
			return
		}
	}
	panic("locktest: end of " + word + ", which did not begin")
}

// word makes a step of the first word, or of all up to its closing brace.
func (b *bench) word(words []string) (step, []string) {
	w, rest := words[0], words[1:]
	if name, ok := strings.CutSuffix(w, "{"); ok {
		var inner []step
		for rest[0] != "}" {
			var s step
			s, rest = b.word(rest)
			inner = append(inner, s)
		}
		within := b.context(name)
		return func(b *bench) { within(func() { b.event(inner) }) }, rest[1:]
	}
	if begin := b.opening(w); begin != nil {
		return func(b *bench) { b.ends = append(b.ends, end{w, begin()}) }, rest
	}
	if off := closing[w]; off != "" {
		return func(b *bench) { b.end(off) }, rest
	}
	if name, ok := strings.CutPrefix(w, "-"); ok {
		if b.last[name] == nil {
			panic("locktest: release of " + name + ", which was not taken")
		}
		return func(b *bench) { b.release(name) }, rest
	}
	if name, ok := strings.CutPrefix(w, "init:"); ok {
		l := b.lock(name).(interface{ Init(string) })
		return func(*bench) { l.Init(name) }, rest
	}
	return b.taking(w), rest
}

// Words that end what another one began.
var closing = map[string]string{"on": "off", "hon": "hoff"}

// The kinds of locks by prefix, and what a name without a prefix is in each
// column.
var kinds = map[string]string{
	"P": "raw", "S": "spin", "M": "mutex", "L": "local",
	"W": "wlock", "R": "rlock", "Q": "qread",
}

// kind splits a name into the way its lock is taken and the lock's own name.
func (b *bench) kind(name string) (kind, lock string) {
	prefix, lock, ok := strings.Cut(name, ":")
	switch {
	case !ok:
		return b.column, name
	case prefix == "r" && b.column == "qread":
		return "qread", lock
	case prefix == "r":
		return "rlock", lock
	}
	if kind = kinds[prefix]; kind == "" {
		panic("locktest: no kind of lock " + prefix)
	}
	return kind, lock
}

// lock finds or makes a lock. Its class is its name without the dash that
// distinguishes instances.
func (b *bench) lock(name string) any {
	kind, lockName := b.kind(name)
	if kind == "rlock" || kind == "qread" {
		kind = "wlock"
	}
	key := kind + " " + lockName
	if b.locks[key] == nil {
		l := map[string]func() interface{ Init(string) }{
			"raw":   func() interface{ Init(string) } { return new(lock.Raw) },
			"spin":  func() interface{ Init(string) } { return new(lock.Spin) },
			"mutex": func() interface{ Init(string) } { return new(lock.Mutex) },
			"local": func() interface{ Init(string) } { return new(lock.Local) },
			"wlock": func() interface{ Init(string) } { return new(lock.RW) },
		}[kind]()
		l.Init(strings.TrimRight(lockName, "'"))
		b.locks[key] = l
	}
	return b.locks[key]
}

// taking makes the step that takes a lock.
func (b *bench) taking(w string) step {
	name := strings.TrimRight(w, "?^")
	how := w[len(name):]
	name, nested, _ := strings.Cut(name, "/")
	sub := 0
	if nested != "" {
		how, sub = "/", int(nested[0]-'0')
	}
	kind, _ := b.kind(name)
	take, unlock := ways(kind, how, sub, b.lock(name))
	if take == nil {
		panic(fmt.Sprintf("locktest: a lock of kind %s can't be taken as %s", kind, w))
	}
	b.last[name] = unlock
	return func(b *bench) {
		if take() {
			b.held = append(b.held, hold{name, unlock})
		}
	}
}

// ways are a lock's methods.
func ways(kind, how string, sub int, l any) (take func() bool, unlock func()) {
	yes := func(f func()) func() bool { return func() bool { f(); return true } }
	type basic interface {
		Lock()
		TryLock() bool
		Unlock()
	}
	switch kind {
	case "rlock", "qread":
		rw := l.(*lock.RW)
		switch {
		case how == "?":
			return rw.TryRLock, rw.RUnlock
		case how == "^" && kind == "qread":
			return yes(rw.RLockIRQ), rw.RUnlockIRQ
		case how == "" && kind == "qread":
			return yes(rw.RLock), rw.RUnlock
		case how == "":
			return yes(rw.RLockRecursive), rw.RUnlock
		}
		return nil, nil
	}
	all := l.(basic)
	switch how {
	case "":
		return yes(all.Lock), all.Unlock
	case "?":
		return all.TryLock, all.Unlock
	case "/":
		if n, ok := l.(interface{ LockNested(int) }); ok {
			return yes(func() { n.LockNested(sub) }), all.Unlock
		}
	case "^":
		if irq, ok := l.(interface {
			LockIRQ()
			UnlockIRQ()
		}); ok {
			return yes(irq.LockIRQ), irq.UnlockIRQ
		}
	}
	return nil, nil
}

// run runs a script.
func (b *bench) run(events []string) {
	for _, s := range b.script(events) {
		s(b)
	}
	lockdep.CheckNoLocksHeld() // the script has released all it took
}

func newBench(column string, soft bool) *bench {
	return &bench{column: column, soft: soft, locks: map[string]any{}, last: map[string]func(){}, held: make([]hold, 0, 64), ends: make([]end, 0, 16)}
}
