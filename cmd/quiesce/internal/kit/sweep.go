package kit

// SweepBytes is the size of a Sweep's buffer unless its maker says otherwise:
// more than most processors' caches hold.
const SweepBytes = 96 << 20

// Sweep evicts everything else from the processor's caches by reading a buffer
// that is larger than they are. It does not write: the timed code would have to
// write those lines back when it needs their place.
type Sweep struct {
	buf []byte
	sum byte // keeps the reads from being optimized away
}

// NewSweep makes a sweep of n bytes.
func NewSweep(n int) *Sweep {
	s := &Sweep{buf: make([]byte, n)}
	const page = 4096
	for i := 0; i < n; i += page {
		s.buf[i] = 1 // pages never written would all be the one page of zeros
	}
	return s
}

// Run sweeps.
func (s *Sweep) Run() {
	const line = 64
	for i := 0; i < len(s.buf); i += line {
		s.sum += s.buf[i]
	}
}

// Bytes returns the buffer, for reading.
func (s *Sweep) Bytes() []byte { return s.buf }
