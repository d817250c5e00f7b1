package lock_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"quiesce/lock"
	"quiesce/preempt"
)

// A Raw may be taken anywhere. If a handler takes it too, tasks take it with
// interrupts disabled.
func ExampleRaw() {
	var mu lock.Raw
	mu.Init("counter")
	count := 0

	mu.LockIRQ()
	preempt.Hardirq(func() { // waits until interrupts are enabled again
		mu.LockIRQ()
		count++
		mu.UnlockIRQ()
	})
	count *= 10
	mu.UnlockIRQ()

	fmt.Println(count)
	// Output:
	// 1
}

// A Spin is for data that tasks and softirqs share. A task disables softirqs
// before it locks: one that ran on its goroutine in between would wait for a
// lock that its own task holds.
func ExampleSpin() {
	var mu lock.Spin
	mu.Init("queue")
	var queue []string

	bh := preempt.DisableBH()
	mu.Lock()
	queue = append(queue, "task")
	mu.Unlock()
	bh.Restore()
	preempt.Softirq(func() {
		mu.Lock()
		queue = append(queue, "softirq")
		mu.Unlock()
	})

	fmt.Println(queue)
	// Output:
	// [task softirq]
}

// A Local protects one slot per P. Goroutines on different Ps do not contend.
func ExampleLocal() {
	var mu lock.Local
	mu.Init("hits")
	hits := make([]struct {
		n atomic.Int64 // written under the slot's lock, read by anyone
		_ [120]byte    // a line for each P
	}, runtime.GOMAXPROCS(0))

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				mu.Lock()
				hits[mu.Slot()].n.Add(1)
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	total := int64(0)
	for i := range hits {
		total += hits[i].n.Load()
	}
	fmt.Println(total)
	// Output:
	// 800
}

// Readers of an RW share it, and wait for writers only.
func ExampleRW() {
	var mu lock.RW
	mu.Init("config")
	config := map[string]string{"mode": "fast"}

	mu.RLock()
	mode, second, writer := config["mode"], mu.TryRLock(), mu.TryLock()
	mu.RUnlock()
	mu.RUnlock()
	// Printed here: with preempt_rt=0 a holder is pinned and must not call the system.
	fmt.Println(mode, "second reader:", second, "writer:", writer)

	mu.Lock()
	config["mode"] = "safe"
	mu.Unlock()
	fmt.Println(config["mode"])
	// Output:
	// fast second reader: true writer: false
	// safe
}
