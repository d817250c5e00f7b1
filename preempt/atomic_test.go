package preempt

import (
	"os"
	"quiesce/internal/option"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ways into a raw atomic context.
var contexts = map[string]func(fn func()){
	"Disable":    func(fn func()) { p := Disable(); fn(); p.Enable() },
	"DisableIRQ": func(fn func()) { s := DisableIRQ(); fn(); s.Restore() },
	"Hardirq":    Hardirq,
	"queued Hardirq": func(fn func()) {
		s := DisableIRQ()
		Hardirq(fn)
		s.Restore()
	},
}

// The ways to block. runtime.Gosched is not among them: it makes the goroutine
// runnable for other threads before the runtime looks at the pin, so that the
// process may hang where it should end.
var blocking = map[string]func(){
	"channel receive": func() {
		c := make(chan int)
		go func() { time.Sleep(50 * time.Millisecond); c <- 1 }()
		<-c
	},
	"contended sync.Mutex": func() {
		var mu sync.Mutex
		mu.Lock()
		go func() { time.Sleep(50 * time.Millisecond); mu.Unlock() }()
		mu.Lock()
	},
	"time.Sleep": func() { time.Sleep(time.Millisecond) },
}

var scenarios = map[string]func(){
	"panic": func() {
		defer func() {
			if recover() != nil {
				os.Exit(0) // it could be recovered after all
			}
		}()
		p := Disable()
		defer p.Enable()
		panic("text of the panic")
	},
	"panic in Softirq": func() { Softirq(func() { panic("text of the panic") }) },
	"panic by Restore in a handler": func() {
		s := DisableBH()
		Softirq(s.Restore)
		s.Restore()
	},
}

func init() {
	for c, enter := range contexts {
		for b, block := range blocking {
			scenarios[b+" in "+c] = func() { enter(block) }
		}
	}
	if !RT() {
		scenarios["time.Sleep in Softirq"] = func() { Softirq(func() { time.Sleep(time.Millisecond) }) }
		scenarios["time.Sleep in DisableBH"] = func() { s := DisableBH(); time.Sleep(time.Millisecond); s.Restore() }
	}
}

// The mode is read before main, where the go command's test cache does not see
// it; here it does.
func TestModeIsWhatTheEnvironmentSays(t *testing.T) {
	if RT() != option.Bool("preempt_rt") {
		t.Errorf("RT() = %v with QUIESCE=%q", RT(), os.Getenv("QUIESCE"))
	}
}

func TestBlockingWhilePinnedEndsTheProcess(t *testing.T) {
	var names []string
	for name := range scenarios {
		if !strings.HasPrefix(name, "panic") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { dies(t, name, "schedule: holding locks") })
	}
}

func TestPanicWhilePinnedEndsTheProcessWithItsText(t *testing.T) {
	dies(t, "panic", "text of the panic")
}

func TestAtomicIsTrueInEveryRawAtomicContextAndNowhereElse(t *testing.T) {
	if Atomic() || InHardirq() {
		t.Fatal("a test begins in an atomic context")
	}
	for name, enter := range contexts {
		var atomic, hardirq bool
		enter(func() { atomic, hardirq = Atomic(), InHardirq() })
		if !atomic {
			t.Errorf("Atomic() = false in %s", name)
		}
		if want := name == "Hardirq" || name == "queued Hardirq"; hardirq != want {
			t.Errorf("InHardirq() = %v in %s, want %v", hardirq, name, want)
		}
		if Atomic() || InHardirq() {
			t.Fatalf("%s is not left", name)
		}
	}
}

// Softirq is preemptible with preempt_rt=1 and pinned with preempt_rt=0;
// Threaded is preemptible in both.
func TestSoftirqAndThreadedRunUnderTheirContextsRules(t *testing.T) {
	ran := 0
	Softirq(func() {
		ran++
		if Atomic() != !RT() {
			t.Errorf("Atomic() = %v in Softirq with RT() = %v", Atomic(), RT())
		}
	})
	Threaded(func() {
		ran++
		if Atomic() || InHardirq() {
			t.Error("a threaded handler runs in an atomic context")
		}
		time.Sleep(time.Microsecond) // sleeping is allowed
	})
	if ran != 2 {
		t.Errorf("%d of 2 handlers ran before their call returned", ran)
	}
	if Atomic() {
		t.Error("the context is not left")
	}
}
