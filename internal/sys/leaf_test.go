package sys

import (
	"math"
	"runtime"
	"testing"
	"time"
)

func TestLeavesWorkWhereTheyAreBuilt(t *testing.T) {
	if LeavesWork() != Leaves {
		t.Errorf("LeavesWork() = %v in a build with Leaves = %v", LeavesWork(), Leaves)
	}
}

// Offsets that do not lead to the P's number are refused, whether what they lead to
// is another number, the number by chance, or no memory.
func TestWrongOffsetsAreRefused(t *testing.T) {
	if !Leaves {
		t.Skip("this build has no leaves")
	}
	right := offsets{g2m: OffsetM, m2p: OffsetP, p2id: OffsetID, m2g: offsetCurG, p2m: offsetPM}
	if !right.right(leafP) {
		t.Fatal("the right offsets are refused")
	}
	pinned := func() int32 { id := ProcPin(); ProcUnpin(); return int32(id) }
	for _, c := range []struct {
		name   string
		change func(*offsets)
		number func() int32
	}{
		{"number", func(*offsets) {}, func() int32 { return math.MaxInt32 }},
		{"g to m, by 8", func(o *offsets) { o.g2m += 8 }, pinned},
		{"g to m, a number", func(o *offsets) { o.g2m = 152 }, pinned},
		{"m to p, by 8", func(o *offsets) { o.m2p += 8 }, pinned},
		{"m to p, by -8", func(o *offsets) { o.m2p -= 8 }, pinned},
		{"p to its number, by 2", func(o *offsets) { o.p2id += 2 }, pinned},
		{"fault", func(*offsets) {}, func() int32 { var none *int32; return *none }},
	} {
		o := right
		c.change(&o)
		if o.right(c.number) {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

// leafP is right on goroutines that change Ps and threads, while the number of Ps
// changes: two equal answers around a pin are the pin's.
func TestTheNumberOfAPFollowsTheGoroutine(t *testing.T) {
	if !Leaves {
		t.Skip("this build has no leaves")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	bad := make(chan int, 8)
	stop := time.Now().Add(100 * time.Millisecond)
	for range cap(bad) {
		go func() {
			n := 0
			for time.Now().Before(stop) {
				id := ProcPin()
				if int(leafP()) != id {
					n++
				}
				ProcUnpin()
				runtime.Gosched()
			}
			bad <- n
		}()
	}
	for ps := 1; time.Now().Before(stop); ps = ps%6 + 1 {
		runtime.GOMAXPROCS(ps)
		time.Sleep(time.Millisecond)
	}
	for range cap(bad) {
		if n := <-bad; n > 0 {
			t.Errorf("%d times another number than the pin's", n)
		}
	}
}
