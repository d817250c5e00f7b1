package heapprofile

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"quiesce/gfp"
	"quiesce/inspect"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcuhash"
	"quiesce/slab"
)

type object struct{ _ [12]uint64 } // 96 bytes

const size = 96

// The call sites. They are not inlined, so that their names are in the profile as
// they are here.

//go:noinline
func leak(c *slab.Cache[object], n int) (ps []*object) {
	for range n {
		ps = append(ps, c.Alloc(gfp.Kernel))
	}
	return ps
}

//go:noinline
func keep(c *slab.Cache[object], n int) (ps []*object) { return take(c, n) }

//go:noinline
func borrow(c *slab.Cache[object], n int) { c.FreeBulk(take(c, n)) }

func take(c *slab.Cache[object], n int) (ps []*object) {
	for range n {
		ps = append(ps, c.Alloc(gfp.Kernel))
	}
	return ps
}

//go:noinline
func fill(m *rcuhash.Map[int, object], n int) {
	for i := range n {
		m.Put(i, object{})
	}
}

// open sets the rate until the test's end, and makes an allocator and a cache.
func open(t *testing.T, rate int) (*page.Allocator, *slab.Cache[object]) {
	t.Helper()
	was := inspect.SetHeapProfileRate(rate)
	t.Cleanup(func() { inspect.SetHeapProfileRate(was) })
	a, err := page.New(page.Config{Name: t.Name(), Reserve: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := slab.NewCache[object](t.Name(), slab.WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// setup is open, and closes them at the end.
func setup(t *testing.T, rate int) (*page.Allocator, *slab.Cache[object]) {
	t.Helper()
	a, c := open(t, rate)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil && !errors.Is(err, page.ErrClosed) {
			t.Error(err)
		}
	})
	return a, c
}

// settle waits until nothing is cached: the service may have objects in its hands.
func settle(t *testing.T, c *slab.Cache[object]) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, "an empty depot", func() bool {
		c.Barrier()
		c.Shrink()
		s := c.Stats()
		return s.Cached == 0 && s.Deferred == 0
	})
}

// The indexes of the values.
const (
	allocObjects = iota
	allocSpace
	inuseObjects
	inuseSpace
)

// read returns the profile, which must be sound.
func read(t *testing.T) *profile.Profile {
	t.Helper()
	var b bytes.Buffer
	if err := inspect.WriteHeapProfile(&b); err != nil {
		t.Fatal(err)
	}
	p, err := profile.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return p
}

// sums adds a value of the samples with a label up, by the innermost function of this
// package, or by the innermost of all.
func sums(p *profile.Profile, value int, key, label string) (by map[string]int64, sum int64) {
	by = make(map[string]int64)
	for _, s := range p.Sample {
		if l := s.Label[key]; len(l) != 1 || l[0] != label {
			continue
		}
		name := s.Location[0].Line[0].Function.Name
		for _, l := range s.Location {
			if _, fn, ok := strings.Cut(l.Line[0].Function.Name, "heapprofile."); ok && fn != "take" {
				name = fn
				break
			}
		}
		by[name] += s.Value[value]
		sum += s.Value[value]
	}
	return by, sum
}

func about(got, want int64, error float64) bool {
	return math.Abs(float64(got)-float64(want)) <= error*float64(want)
}

// What is in use adds up to the live objects of the cache, and is attributed to the
// call sites that have them.
func TestInUseIsWhatTheCallSitesHave(t *testing.T) {
	for _, rate := range []int{1, 64 << 10} {
		t.Run(strconv.Itoa(rate), func(t *testing.T) {
			_, c := setup(t, rate)
			k := 1000
			if rate == 1 {
				k = 100 // noting all takes its time
			}
			kept := keep(c, 30*k)
			borrow(c, 20*k)
			settle(t, c)
			leaked := leak(c, 90*k)
			if rate == 1 {
				settle(t, c) // what a P has cached is still the site's that had it last
			}
			by, sum := sums(read(t), inuseObjects, "cache", t.Name())
			if live := int64(c.Stats().Live); sum != live || live != int64(120*k) {
				t.Errorf("%d objects are in use by the profile, %d by Stats", sum, live)
			}
			if rate == 1 && (by["leak"] != 9000 || by["keep"] != 3000) {
				t.Errorf("%v", by)
			}
			// Some hundred slabs at least are sampled: a standard error below a tenth.
			if !about(by["leak"], int64(90*k), 0.25) || !about(by["keep"], int64(30*k), 0.75) || by["borrow"] > int64(5*k) {
				t.Errorf("%v", by)
			}
			bytes, sum := sums(read(t), inuseSpace, "cache", t.Name())
			if sum != int64(120*k*size) || bytes["leak"] != by["leak"]*size {
				t.Errorf("bytes %v, objects %v", bytes, by)
			}
			c.FreeBulk(leaked)
			settle(t, c)
			if by, _ := sums(read(t), inuseObjects, "cache", t.Name()); by["keep"] < int64(25*k) {
				t.Errorf("after the others freed: %v", by)
			}
			c.FreeBulk(kept)
			settle(t, c)
			if by, sum := sums(read(t), inuseObjects, "cache", t.Name()); sum != 0 {
				t.Errorf("with nothing in use: %v", by)
			}
		})
	}
}

// A site that takes many objects and frees them again, and one that keeps a few each time,
// on the same P: where samples are taken, it is the first that finds the P's stock
// empty. At rate 1 each has what it has. At others the sum is right, of the right cache.
func TestWhatIsKeptFromWhatAnotherFreed(t *testing.T) {
	for _, rate := range []int{1, 16 << 10} {
		t.Run(strconv.Itoa(rate), func(t *testing.T) {
			_, c := setup(t, rate)
			kept := make([]*object, 0, 1000)
			for range 50 {
				borrow(c, 300)
				kept = append(kept, leak(c, 10)...)
			}
			settle(t, c)
			by, sum := sums(read(t), inuseObjects, "cache", t.Name())
			if sum != 500 {
				t.Errorf("%d are in use, of 500", sum)
			}
			if rate == 1 && by["leak"] != 500 {
				t.Errorf("%v", by)
			}
			c.FreeBulk(kept)
		})
	}
}

// At rate 1 all ways to allocate are noted, and what they take in total (but for the
// guarded objects of a poison build).
func TestEveryAllocationIsNotedAtRate1(t *testing.T) {
	_, c := setup(t, 1)
	c.FreeBulk(leak(c, 5000)) // what follows comes from sheaves
	settle(t, c)
	before, _ := sums(read(t), allocObjects, "cache", t.Name())
	kept := make([]*object, 3000)
	if n := bulk(c, kept); n != 3000 {
		t.Fatalf("%d of 3000", n)
	}
	s := stock(t, c, 40)
	for range 40 {
		kept = append(kept, s.Alloc(gfp.Kernel))
	}
	kept = append(kept, leak(c, 7)...)
	c.FreeRCU(kept[0])
	c.Free(kept[1])
	s.Close()
	settle(t, c)
	by, _ := sums(read(t), inuseObjects, "cache", t.Name())
	if by["bulk"] != 2998 || by["stock"] != 40 || by["leak"] != 7 || len(by) != 3 {
		t.Errorf("%v", by)
	}
	if by, _ := sums(read(t), allocObjects, "cache", t.Name()); !about(by["bulk"], 3000, 0.01) || by["leak"] != before["leak"]+7 {
		t.Errorf("in total %v", by)
	}
	c.FreeBulk(kept[2:])
}

//go:noinline
func bulk(c *slab.Cache[object], dst []*object) int { return c.AllocBulk(gfp.Kernel, dst) }

//go:noinline
func stock(t *testing.T, c *slab.Cache[object], n int) *slab.Sheaf[object] {
	s, err := c.Sheaf(n, gfp.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// In total there is what came to Ps, whoever freed it since.
func TestTotalIsWhatWasTaken(t *testing.T) {
	_, c := setup(t, 16<<10)
	for range 10 {
		borrow(c, 50000)
	}
	kept := keep(c, 50000)
	by, sum := sums(read(t), allocObjects, "cache", t.Name())
	// Borrowed and freed again 500000. A P's own sheaves serve some of them
	// again without a note: the two that it keeps are 2000 of each 50000.
	if !about(sum, 550000, 0.15) || !about(by["borrow"], 500000, 0.15) || !about(by["keep"], 50000, 0.5) {
		t.Errorf("%v, in all %d", by, sum)
	}
	c.FreeBulk(kept)
}

// Without a sample, objects are in use by nobody known. A cache is never left out.
func TestWhatIsNotSampledIsShown(t *testing.T) {
	_, c := setup(t, 0)
	kept := keep(c, 1000)
	by, sum := sums(read(t), inuseObjects, "cache", t.Name())
	if sum != 1000 || by["[not sampled]"] != 1000 || len(by) != 1 {
		t.Errorf("%v", by)
	}
	c.FreeBulk(kept)
}

// Blocks of pages that no slab cache has are shown as well: with the slabs, nothing
// that is in use is missing.
func TestPagesAreShown(t *testing.T) {
	a, c := setup(t, 1)
	kept := keep(c, 1000)
	p := a.Alloc(5, gfp.Kernel)
	by, _ := sums(read(t), inuseSpace, "allocator", t.Name())
	if want := a.Stats().InUse - c.Stats().Bytes; by["[pages]"] != want || want < 32*page.Size {
		t.Errorf("%v, want %d of pages", by, want)
	}
	a.Free(p, 5)
	c.FreeBulk(kept)
}

// The innermost call site of a map's nodes is the map's user.
func TestTheLibrarysOwnFramesAreLeftOut(t *testing.T) {
	a, c := setup(t, 1)
	_ = c
	m, err := rcuhash.New[int, object](0, rcuhash.WithAllocator(a), rcuhash.WithName("nodes"))
	if err != nil {
		t.Fatal(err)
	}
	fill(m, 20000)
	found := false
	for _, s := range read(t).Sample {
		name := s.Location[0].Line[0].Function.Name
		if strings.HasSuffix(name, "heapprofile.fill") && s.Value[inuseSpace] > 0 {
			found = true
		}
		for _, own := range []string{"quiesce/slab.(", "quiesce/rcuhash.(", "runtime."} {
			if strings.HasPrefix(name, own) && !strings.Contains(s.Label["cache"][0], "kmalloc") {
				t.Errorf("innermost is %s", name)
			}
		}
	}
	if !found {
		t.Error("the map's user is not in the profile")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A leak is the first line of go tool pprof -top.
func TestALeakIsTheFirstLineOfPprof(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command")
	}
	_, c := setup(t, 512<<10)
	var leaked []*object
	for range 200 {
		leaked = append(leaked, leak(c, 1000)...)
		borrow(c, 100) // in between, as a program does
	}
	file := filepath.Join(t.TempDir(), "heap.pb.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := inspect.WriteHeapProfile(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, lines, ok := strings.Cut(string(out), "flat%")
	_, lines, _ = strings.Cut(lines, "\n")
	if first, _, _ := strings.Cut(lines, "\n"); !ok || !strings.HasSuffix(first, "heapprofile.leak") {
		t.Errorf("%s", out)
	}
	c.FreeBulk(leaked)
}
