// Package oneowner shares what belongs to one goroutine.
package oneowner

import (
	"sync"

	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/slab"
)

func loop() {
	r := rcu.NewReader()
	for range 4 {
		go func() { // want `rcu.Reader is used by the goroutine of every round of the loop`
			r.ReadLock()
			r.Unlock()
		}()
	}
}

func two() {
	r := rcu.NewReader()
	go func() { r.ReadLock(); r.Unlock() }()
	go func() { r.ReadLock(); r.Unlock() }() // want `rcu.Reader is used by this goroutine and by that of line 24`
}

func both(c *slab.Cache[int]) error {
	s, err := c.Sheaf(16, gfp.Kernel)
	if err != nil {
		return err
	}
	go func() { s.Free(s.Alloc(gfp.NoWait)) }()
	s.Free(s.Alloc(gfp.NoWait)) // want `slab.Sheaf is used here and by the goroutine of line 33`
	return nil
}

// From here on all is right.

func handsOver() {
	r := rcu.NewReader()
	r.ReadLock()
	r.Unlock()
	go func() { r.ReadLock(); r.Unlock(); r.Close() }()
}

func oneEach() {
	for range 4 {
		r := rcu.NewReader()
		go func() { r.ReadLock(); r.Unlock() }()
	}
}

func waits() {
	r := rcu.NewReader()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); r.ReadLock(); r.Unlock() }()
	wg.Wait()
	r.Close()
}

func turns(next chan bool) {
	r := rcu.NewReader()
	for range 2 {
		go func() {
			<-next
			r.ReadLock()
			r.Unlock()
			next <- true
		}()
	}
}
