package perf

import (
	"quiesce/internal/sys"
	"runtime"
	"testing"
)

func TestUsageGrows(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Usage knows nothing there")
	}
	cpu, sleeps := Usage()
	for begin := sys.Nanotime(); sys.Nanotime()-begin < 30e6; {
	}
	for range 10 {
		sys.Sleep(100_000)
	}
	cpu2, sleeps2 := Usage()
	if cpu2-cpu < 5e6 || sleeps2-sleeps < 10 {
		t.Errorf("30 ms of spinning and 10 sleeps: %d ns and %d sleeps", cpu2-cpu, sleeps2-sleeps)
	}
}

func TestMissesAreCountedWhereTheMachineCan(t *testing.T) {
	m, err := CountMisses()
	if err != nil {
		t.Skip("no counters:", err)
	}
	defer m.Close()
	b := make([]byte, 128<<20)
	for i := 0; i < len(b); i += 64 {
		b[i]++
	}
	if n := m.Read(); n < 1000 {
		t.Errorf("%d misses in 128 MiB", n)
	}
}
