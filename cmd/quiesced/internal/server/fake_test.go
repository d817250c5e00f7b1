package server

import (
	"io"
	"net"
	"time"
)

// fakeConn is a connection without a network: it reads what it was given, in pieces,
// and keeps what is written.
type fakeConn struct {
	in    []byte
	piece int // bytes at a time; 0: all
	out   []byte
	keep  bool
}

func (f *fakeConn) Read(p []byte) (int, error) {
	if len(f.in) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if f.piece > 0 {
		n = min(n, f.piece)
	}
	n = copy(p[:n], f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *fakeConn) Write(p []byte) (int, error) {
	if f.keep {
		f.out = append(f.out, p...)
	}
	return len(p), nil
}

func (f *fakeConn) Close() error                     { return nil }
func (f *fakeConn) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (f *fakeConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (f *fakeConn) SetDeadline(time.Time) error      { return nil }
func (f *fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (f *fakeConn) SetWriteDeadline(time.Time) error { return nil }
