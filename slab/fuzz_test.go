package slab

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fuzztape"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/page"
)

func fuzzPages(t *testing.T, limit int64, patience time.Duration) *page.Allocator {
	a, err := page.New(page.Config{Limit: limit, Reserve: 1 << 30, ReclaimTimeout: patience, Name: "fuzz"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fuzzCache[T any](t *testing.T, tp *fuzztape.Tape) {
	limit := []int64{0, 256 << 10, 1 << 20, 4 << 20}[tp.Arg(4)]
	a := fuzzPages(t, limit, 2*time.Millisecond)
	m := &fuzzed[T]{t: t, opts: []Option{WithAllocator(a)}, stamps: map[*T]uint64{}, limbo: map[*T]limbo{}}
	if n := tp.Arg(6); n > 0 {
		m.opts = append(m.opts, WithSheaf([]int{1, 2, 7, 30, 510}[n-1]))
	}
	if n := tp.Arg(4); n > 0 {
		m.opts = append(m.opts, WithDepot([]int64{0, 4096, 64 << 10}[n-1]))
	}
	m.open()
	defer m.faults(0)
	most := int(8<<20/unsafe.Sizeof(*new(T))) + 1
	if most > 20_000 {
		most = 20_000
	}
	flags := []gfp.Flags{gfp.NoWait, gfp.Kernel, gfp.Atomic, gfp.NoLocks, gfp.Kernel | gfp.Zero, gfp.NoLocks | gfp.Zero}
	for op := range tp.Ops("aAAfFrrRRdgusbolmcnSUi") {
		n := len(m.live)
		m.mu.Lock()
		room := most - n - len(m.limbo)
		m.mu.Unlock()
		switch op {
		case 'a':
			if f := flags[tp.Arg(len(flags))]; room > 0 {
				m.alloc(f)
			}
		case 'A':
			count, f := 1<<tp.Arg(12), flags[tp.Arg(len(flags))]
			m.allocBulk(max(min(count, room), 0), f)
		case 'f':
			if i := tp.Arg(n); n > 0 {
				p := m.lost(i, false)
				m.do(func() { m.c.Free(p) })
			}
		case 'F':
			i, count := tp.Arg(n), 1<<tp.Arg(12)
			m.freeBulk(i, count)
		case 'r':
			if i := tp.Arg(n); n > 0 {
				m.freeRCU(i, tp.Arg(3))
			}
		case 'R':
			i, count := tp.Arg(n), 1<<tp.Arg(12)
			for ; count > 0 && len(m.live) > 0; count-- {
				m.freeRCU(i%len(m.live), 0)
			}
		case 'd':
			if i := tp.Arg(n); n > 0 {
				m.pinned(i)
			}
		case 'g':
			if i := tp.Arg(2); m.held&(1<<i) == 0 {
				m.guards[i] = farReader()
				m.held |= 1 << i
			}
		case 'u':
			if i := tp.Arg(2); m.held&(1<<i) != 0 {
				m.unlock(i)
			}
		case 's':
			m.do(m.c.Shrink)
		case 'b':
			if m.held == 0 {
				m.barrier()
			}
		case 'o':
			m.away = !m.away
		case 'l': // let the workers run
			sys.Sleep(int64(tp.Arg(8)) * 100_000)
		case 'm':
			runtime.GOMAXPROCS(2 + tp.Arg(3))
		case 'c':
			m.close()
			m.open()
		case 'n':
			m.available()
		case 'S':
			m.hog()
		case 'U':
			m.free()
		case 'i':
			m.faults(tp.Arg(4))
		}
		m.mu.Lock()
		if m.early != "" {
			t.Fatal(m.early)
		}
		m.mu.Unlock()
		if s := a.Stats(); limit > 0 && s.Peak > limit {
			t.Fatalf("above the limit: %+v", s)
		}
	}
	m.close()
	m.free()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if m.early != "" {
		t.Fatal(m.early)
	}
}

// FuzzSlab runs operations of one goroutine, on changing Ps, on a cache and
// on a model of it. A tape begins with object size, limit, sheaf and depot;
// the operations:
//
//	aF  Alloc with flags F     ANF  AllocBulk of 1<<N    fI   Free of object I
//	FIN FreeBulk of 1<<N       rIH  FreeRCU, context H   RIN  1<<N times FreeRCU
//	dI  FreeRCU and Alloc in a pinned section            b    Barrier
//	gI  ReadLock, guard I      uI   Unlock               s    Shrink
//	c   Close, with what is live, and a new cache        n    memory must be had
//	S   the other pages go     U    they come back       lT   a pause
//	o   here and on another P by turns                   mN   GOMAXPROCS
//	iK  faults of kind K are injected from now on
func FuzzSlab(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Procs(t, 3)
		tp := fuzztape.New(b, 512)
		switch tp.Arg(4) {
		case 0:
			fuzzCache[[2]uint64](t, tp)
		case 1:
			fuzzCache[[8]uint64](t, tp)
		case 2:
			fuzzCache[[34]uint64](t, tp)
		case 3:
			fuzzCache[[625]uint64](t, tp)
		}
	})
}
