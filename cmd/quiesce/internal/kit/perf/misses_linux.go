package perf

import (
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"strconv"

	"golang.org/x/sys/unix"
)

// Misses counts the cache misses of this process by hardware counters.
type Misses struct{ fds []int }

// CountMisses begins to count, on all threads that there are and those that
// they start. It fails where the machine or its settings allow no counters.
func CountMisses() (*Misses, error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_HARDWARE,
		Size:   uint32(reflect.TypeFor[unix.PerfEventAttr]().Size()),
		Config: unix.PERF_COUNT_HW_CACHE_MISSES,
		Bits:   unix.PerfBitInherit | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}
	m := new(Misses)
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ESRCH) {
			continue // the thread is gone
		}
		if err != nil {
			m.Close()
			return nil, os.NewSyscallError("perf_event_open", err)
		}
		m.fds = append(m.fds, fd)
	}
	return m, nil
}

// Read is the number of misses since CountMisses.
func (m *Misses) Read() (n uint64) {
	for _, fd := range m.fds {
		var b [8]byte
		if k, err := unix.Read(fd, b[:]); k == len(b) && err == nil {
			n += binary.NativeEndian.Uint64(b[:])
		}
	}
	return n
}

// Close ends the counting.
func (m *Misses) Close() {
	for _, fd := range m.fds {
		unix.Close(fd)
	}
	m.fds = nil
}
