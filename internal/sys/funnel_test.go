package sys

import (
	"sync"
	"testing"
	"time"
)

// holdFunnel makes the test the leader: no barrier ends until release.
func holdFunnel(t *testing.T) (release func()) {
	t.Helper()
	funnel.turn.Lock()
	var once sync.Once
	release = func() { once.Do(funnel.turn.Unlock) }
	t.Cleanup(release)
	return release
}

func TestCallersWhoArriveWhileABarrierRunsShareTheNext(t *testing.T) {
	const callers = 100
	Membarrier()
	release := holdFunnel(t)
	running := funnel.begun.Add(1) // the test's own barrier has begun

	var arrived, done sync.WaitGroup
	for range callers {
		arrived.Add(1)
		done.Go(func() {
			arrived.Done()
			Membarrier()
		})
	}
	arrived.Wait()
	time.Sleep(20 * time.Millisecond) // for most of them to take their number
	funnel.ended.Store(running)
	release()
	done.Wait()
	// Those who took their number before the release share one barrier. A few
	// that were slower may have needed another.
	if n := Membarriers() - running; n < 1 || n > callers/4 {
		t.Errorf("%d callers made %d barriers, want 1, or a few", callers, n)
	}
}

func TestABarrierThatBeganBeforeACallIsNotShared(t *testing.T) {
	Membarrier()
	release := holdFunnel(t)
	running := funnel.begun.Add(1)

	returned := make(chan uint64)
	go func() {
		Membarrier()
		returned <- Membarriers()
	}()
	for deadline := time.Now().Add(20 * time.Millisecond); time.Now().Before(deadline); {
		select {
		case <-returned:
			t.Fatal("Membarrier returned while the barrier before it was still running")
		default:
		}
	}
	funnel.ended.Store(running)
	release()
	if n := <-returned; n <= running {
		t.Errorf("Membarrier returned with barrier %d, which had begun before it was called", n)
	}
}

// A barrier made while the process registers, or after a refusal, is one.
func TestStoppingTheWorldStandsInForTheCommand(t *testing.T) {
	HasMembarrier()
	was := barrierKind.Load()
	defer barrierKind.Store(was)
	for _, kind := range []uint32{barrierRegistering, barrierStopWorld} {
		barrierKind.Store(kind)
		before := Membarriers()
		Membarrier()
		if Membarriers() != before+1 || funnel.ended.Load() != before+1 {
			t.Errorf("kind %d: %d barriers, want 1", kind, Membarriers()-before)
		}
	}
}
