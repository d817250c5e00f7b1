package sys

import (
	"sync"
	"testing"
)

func TestGoidIsTheNumberInTheTrace(t *testing.T) {
	FindGoid()
	if goidAt == 0 {
		t.Error("the place of the goroutine's number was not found")
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got, want := Goid(), goidFromTrace(); got != want {
				t.Errorf("Goid() = %d, the trace says %d", got, want)
			}
		})
	}
	wg.Wait()
}
