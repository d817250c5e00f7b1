package preempt_test

import (
	"fmt"
	"log"

	"quiesce/gfp"
	"quiesce/preempt"
	"quiesce/slab"
)

type event struct{ id uint64 }

// Code in a hard interrupt handler must not sleep. It allocates with
// gfp.NoLocks, from what tasks have left on this P.
func ExampleHardirq() {
	events, err := slab.NewCache[event]("events")
	if err != nil {
		log.Fatal(err)
	}
	var seen uint64
	handler := func() {
		e := events.Alloc(gfp.NoLocks)
		if e == nil {
			return // nothing cached on this P: do without
		}
		e.id = 7
		seen = e.id // no fmt here: it might block
		events.Free(e)
	}
	for seen == 0 {
		events.Free(events.Alloc(gfp.Kernel)) // a task may wait for memory
		preempt.Hardirq(handler)
	}
	fmt.Println("event", seen)
	fmt.Println("closed:", events.Close())
	// Output:
	// event 7
	// closed: <nil>
}

// Sections nest. While one is open, the goroutine stays on its P.
func ExampleDisable() {
	p := preempt.Disable()
	q := preempt.Disable()
	q.Enable()
	inside := preempt.Atomic()
	p.Enable()
	fmt.Println("inside:", inside, "after:", preempt.Atomic())
	// Output:
	// inside: true after: false
}

// While interrupts are disabled, handlers wait.
func ExampleDisableIRQ() {
	var order []string
	s := preempt.DisableIRQ()
	preempt.Hardirq(func() { order = append(order, "handler") })
	order = append(order, "section")
	s.Restore()
	fmt.Println(order)
	// Output:
	// [section handler]
}
