package cache

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/testkit"
	"quiesce/rcu"
)

type nodePointer = unsafe.Pointer

func keyPointer[K comparable](k *K) unsafe.Pointer { return unsafe.Pointer(k) }

// nodeOfKey returns the node of a key, or nil.
func nodeOfKey[K comparable](c *core, k K) unsafe.Pointer {
	g := rcu.ReadLock()
	defer g.Unlock()
	return c.index.Find(unsafe.Pointer(&k))
}

// last reports whether a word of a ring may have that number: in poison builds
// they are those of a table.
func last(s *shard, ref uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries.known(ref)
}

// shardOfKey returns the shard of a key, and the policy's hash of it.
func shardOfKey[K comparable](c *core, k K) (*shard, uint32) {
	h := c.index.Hash(unsafe.Pointer(&k))
	return c.shardOf(h), policyHash(h)
}

// frequency returns what the policy of a key's shard says of the key.
func frequency[K comparable](c *core, k K) int {
	s, hash := shardOfKey(c, k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy.Frequency(hash)
}

// refOfKey returns the number of the node of a key that is there.
func refOfKey[K comparable](c *core, k K) uint32 { return c.numbers.ref(nodeOfKey(c, k)) }

// manyShards has caches that the test makes from now on be split into 8 shards,
// however small they are.
func manyShards(t testing.TB) {
	t.Helper()
	testkit.Procs(t, 8/shardsPerP)
	bytes, entries := shardBytes, shardEntries
	shardBytes, shardEntries = 1, 1
	t.Cleanup(func() { shardBytes, shardEntries = bytes, entries })
}

// clock is a clock that tests move. The service looks at it as well.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Unix(1000, 0).UnixNano())
	return c
}

func (c *clock) Now() time.Time      { return time.Unix(0, c.ns.Load()) }
func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, what, ok)
}

// A key that is hidden from the compiler is on the stack, which moves.
func TestAHiddenPointerFollowsTheStack(t *testing.T) {
	followed := make(chan bool)
	go func() { // on a stack that is small
		k := uint64(42)
		p := hidden(unsafe.Pointer(&k))
		before := uintptr(p)
		sum := deep(2000)
		followed <- uintptr(p) == uintptr(unsafe.Pointer(&k)) && uintptr(p) != before && *(*uint64)(p) == 42 && sum == 2000*2001/2
		runtime.KeepAlive(&k)
	}()
	if !<-followed {
		t.Error("the pointer is that from before the stack grew")
	}
}

//go:noinline
func deep(n uint64) uint64 {
	var frame [64]uint64
	frame[n%64] = n
	if n > 0 {
		return deep(n-1) + frame[n%64]
	}
	return 0
}
