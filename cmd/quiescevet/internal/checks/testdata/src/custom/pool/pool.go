// Package pool lends buffers.
package pool

// Lease is the right to a buffer.
type Lease struct{ b []byte }

// Take begins a lease.
func Take() *Lease { return &Lease{b: make([]byte, 8)} }

// Bytes is the buffer, until Give.
func (l *Lease) Bytes() []byte { return l.b }

// Give ends the lease.
func (l *Lease) Give() {}
