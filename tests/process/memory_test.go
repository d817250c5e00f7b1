//go:build linux

package process

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

func init() {
	scenarios["small address space"] = smallSpace
	scenarios["address space used up"] = spaceUsedUp
	scenarios["data limit"] = dataLimit
	scenarios["Go heap"] = goHeap
}

// limited starts this program again with a limit, so that it holds from the
// first instruction on. A limit set by the parent would have to race.
func limited(resource int, bytes uint64) {
	if os.Getenv("LIMITED") == "1" {
		return
	}
	// Nothing is allocated between the two calls: this process already has more
	// address space than the limit, so that its Go heap could not grow.
	path, err := syscall.BytePtrFromString("/proc/self/exe")
	must(err)
	argv, err := syscall.SlicePtrFromStrings(os.Args)
	must(err)
	envv, err := syscall.SlicePtrFromStrings(append(os.Environ(), "LIMITED=1"))
	must(err)
	must(unix.Setrlimit(resource, &unix.Rlimit{Cur: bytes, Max: bytes}))
	_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE,
		uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])))
	fatal(errno)
}

func bytesOf(name string) (n uint64) {
	fmt.Sscan(os.Getenv(name), &n)
	return n
}

// used is a figure of /proc/self/status, in bytes.
func used(name string) (kb uint64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	fmt.Sscan(rest, &kb)
	return kb << 10
}

func smallSpace() {
	limited(unix.RLIMIT_AS, bytesOf("SPACE"))
	fmt.Println("default range", pages.CoreOf(page.Default()).Size>>20)
	_, err := page.New(page.Config{Name: "big", Reserve: 64 << 30})
	fmt.Println("error:", err)
	a, err := page.New(page.Config{Name: "small", Reserve: 16 << 20})
	must(err)
	c, err := newCache(a)
	must(err)
	p := c.Alloc(gfp.Kernel)
	p.stamp(1)
	c.FreeRCU(p)
	must(c.Close())
	fmt.Println("fine")
}

// mustFail prints the error that a constructor must return now.
func mustFail(what string, err error) {
	if err == nil {
		fatal(fmt.Errorf("%s: no error", what))
	}
	fmt.Println("error:", err)
}

func must(err error) {
	if err != nil {
		fatal(err)
	}
}

func setLimit(resource int, bytes uint64) {
	must(unix.Setrlimit(resource, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}))
}

func newCache(a *page.Allocator) (*slab.Cache[record], error) {
	return slab.NewCache[record]("records", slab.WithAllocator(a))
}

func spaceUsedUp() {
	a, err := page.New(page.Config{Name: "before", Reserve: 1 << 30})
	must(err)
	c, err := newCache(a)
	must(err)
	b, err := page.New(page.Config{Name: "gone"}) // its page lists' address space can be reused
	must(err)
	must(b.Close())
	_, err = page.New(page.Config{Reserve: 1 << 20})
	must(err)

	// Room for the data of an allocator, but not for its metadata.
	before := used("VmSize")
	setLimit(unix.RLIMIT_AS, before+1<<30+20<<20)
	for range 5 {
		_, err = page.New(page.Config{Name: "late", Reserve: 64 << 30})
		if err == nil { // it got the range of the closed one
			continue
		}
		mustFail("New", err)
		break
	}
	_, err = page.New(page.Config{Name: "late", Reserve: 1 << 30})
	mustFail("New", err)
	if now := used("VmSize"); now > before+512<<20 {
		fatal(fmt.Errorf("constructors that failed took %d MB of address space", (now-before)>>20))
	}
	_, err = page.New(page.Config{Name: "late and smaller", Reserve: 256 << 20})
	must(err)

	// An allocator that has its range already is not affected: 128 MB of objects,
	// and some MB of address space for the Go runtime.
	all := make([]*record, 2<<20)
	setLimit(unix.RLIMIT_AS, used("VmSize")+8<<20)
	for i := range all {
		if all[i] = c.Alloc(gfp.Kernel); all[i] == nil {
			fatal(fmt.Errorf("no memory in a range that is there"))
		}
	}
	for _, p := range all {
		c.FreeRCU(p)
	}
	must(c.Close())
	must(a.Close())
	fmt.Println("fine")
}

func dataLimit() {
	runtime.KeepAlive(make([]byte, 32<<20)) // so that the Go heap has room
	runtime.GC()
	a, err := page.New(page.Config{Name: "a", ReclaimTimeout: 200 * time.Millisecond})
	must(err)
	c, err := newCache(a)
	must(err)
	all := make([]*record, 0, 4<<20)
	all = append(all, c.Alloc(gfp.Kernel))
	// Some MB for the Go runtime itself, too little for anything else.
	setLimit(unix.RLIMIT_DATA, used("VmData")+4<<20)

	// Its per-P slots lie in memory that is there already.
	late, err := slab.NewCache[[3]uint64]("late", slab.WithAllocator(a))
	must(err)
	must(late.Close())
	_, err = page.New(page.Config{Name: "late", Reserve: 1 << 30})
	fmt.Println("late allocator:", err)

	var last time.Duration
	for {
		begin := time.Now()
		p := c.Alloc(gfp.Kernel | gfp.NoWarn)
		last = time.Since(begin)
		if p == nil {
			break
		}
		p.stamp(uint64(len(all)))
		all = append(all, p)
	}
	all[0].stamp(0)
	fmt.Println("nil after", last.Round(time.Millisecond))
	if last < 150*time.Millisecond || last > 10*time.Second {
		fatal(fmt.Errorf("gfp.Kernel gave up after %v, ReclaimTimeout is 200 ms", last))
	}

	// No array is available, and everything is freed while a reader is inside.
	g := rcu.ReadLock()
	for _, p := range all {
		c.FreeRCU(p)
	}
	time.Sleep(50 * time.Millisecond)
	if c.Alloc(gfp.NoWait|gfp.NoWarn) != nil {
		// It may only be one that was never handed out: all are checked below.
		fmt.Println("NoWait found an object")
	}
	for i, p := range all {
		if !p.is(uint64(i)) {
			fatal(fmt.Errorf("object %d of %d freed too early", i, len(all)))
		}
	}
	g.Unlock()
	c.Barrier()
	s := c.Stats()
	fmt.Printf("%d objects: %d in arrays, %d on the chain\n", len(all), s.RCUArrays, s.Fallback)
	if s.Fallback == 0 || s.Fallback != s.FallbackFreed || s.RCUArrays != s.Reused+s.Bulk || s.RCUArrays+s.Fallback != uint64(len(all)) {
		fatal(fmt.Errorf("%+v", s))
	}
	p := c.Alloc(gfp.Kernel)
	if p == nil {
		fatal(fmt.Errorf("no memory although everything was freed"))
	}
	c.Free(p)
	must(c.Close())
	must(a.Close())
	fmt.Println("fine")
}

func goHeap() {
	w := newWorld()
	w.start()
	fmt.Println("ready")
	setLimit(unix.RLIMIT_DATA, used("VmData")+128<<20)
	for begin := time.Now(); time.Since(begin) < 20*time.Second; {
		ballast = append(ballast, make([]byte, 1<<20))
		clear(ballast[len(ballast)-1])
	}
	fmt.Println("the Go heap grew for 20 s")
}

var ballast [][]byte

// unlimited skips the test where the race detector would meet the limit first.
func unlimited(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes terabytes of address space, and memory for each access")
	}
}

// A process whose address space is limited from its start: the default
// allocator takes what fits, a constructor that can't says why, a smaller one
// works.
func TestWithLittleAddressSpaceAConstructorSaysSoAndASmallerOneWorks(t *testing.T) {
	unlimited(t)
	t.Parallel()
	// The Go runtime takes 1.2 GB of it. 18000 MB and 5500 MB hold the data of
	// a large default range and not its metadata.
	for _, mb := range []uint64{3000, 5500, 18000, 40000} {
		c := begin(t, "small address space", fmt.Sprintf("SPACE=%d", mb<<20))
		t.Log(mb, "MB:", c.expect("default range"))
		if l := c.expect("error:"); !strings.Contains(l, "allocator big: no address space") || !strings.Contains(l, "cannot allocate memory") {
			t.Error(l)
		}
		c.expect("fine")
		succeeds(t, c)
	}
}

// Too little for a default allocator of any use: the import takes a part of what
// there is, says so, and leaves the rest to others. The Go runtime alone has
// 690 MB at its start, or one or two arenas of 64 MiB more: Go 1.26 begins its
// heap at a random place, which may be the end of an arena.
func TestWithFarTooLittleAddressSpaceTheImportSaysSoAndContinues(t *testing.T) {
	unlimited(t)
	t.Parallel()
	c := ended(t, "small address space", fmt.Sprintf("SPACE=%d", 1000<<20))
	text := c.stderr.String()
	for _, part := range []string{"page: little address space", "allocator=default", "RLIMIT_AS is 1024000 KiB"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%.2000s", part, text)
		}
	}
	if c.err != nil || strings.Contains(text, "goroutine ") {
		t.Errorf("%v\n%.2000s", c.err, text)
	}
}

func TestAddressSpaceUsedUpAtRunTimeHurtsOnlyNewAllocators(t *testing.T) {
	unlimited(t)
	t.Parallel()
	c := begin(t, "address space used up")
	c.passes(t)
}

// Memory denied: nil for allocations, within their time; nothing freed early;
// FreeRCU on the fallback chain; all of it usable again afterwards.
func TestMemoryDeniedAllocationsReturnNilAndFreeRCUGoesOn(t *testing.T) {
	unlimited(t)
	t.Parallel()
	ended(t, "data limit").passes(t)
}

// ended runs a scenario to its end, again if Go's own heap was the first to need
// more: it gets what the allocators leave, which is little on purpose.
func ended(t *testing.T, scenario string, env ...string) (c *child) {
	t.Helper()
	for range 10 {
		c = begin(t, scenario, env...)
		<-c.ended
		if text := c.stderr.String(); !strings.Contains(text, "runtime: out of memory") && !strings.Contains(text, "runtime: cannot allocate memory") {
			break
		}
	}
	return c
}

// Where it is the Go runtime that gets no memory, Go ends the process.
func TestAGoHeapThatCannotGrowEndsTheProcessInGosWords(t *testing.T) {
	unlimited(t)
	t.Parallel()
	c, text := goHeapEnds(t)
	// Occasionally Go's collector is the one that gets no memory, and does not
	// check: nil in its queue of spans.
	for try := 0; try < 2 && strings.Contains(text, "SIGSEGV") && strings.Contains(text, "runtime.(*spanQueue)"); try++ {
		c, text = goHeapEnds(t)
	}
	if c.cmd.ProcessState.ExitCode() != 2 || !strings.Contains(text, "fatal error: ") ||
		!strings.Contains(text, "out of memory") && !strings.Contains(text, "cannot allocate memory") {
		t.Errorf("%v\n%.3000s", c.err, text)
	}
	t.Logf("%.150s", text)
}

func goHeapEnds(t *testing.T) (c *child, text string) {
	t.Helper()
	c = begin(t, "Go heap")
	c.expect("ready")
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatalf("no end within %v", patience)
	}
	return c, c.stderr.String()
}

// passes logs what the child prints until it reports success.
func (c *child) passes(t *testing.T) {
	t.Helper()
	for {
		l := c.expect("")
		t.Log(l)
		if l == "fine" {
			break
		}
	}
	succeeds(t, c)
}

func succeeds(t *testing.T, c *child) {
	t.Helper()
	<-c.ended
	if c.err != nil {
		t.Errorf("%v\n%.2000s", c.err, c.stderr)
	}
}
