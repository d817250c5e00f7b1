//go:build unix

package server

import (
	"net"
	"os"
	"syscall"
	"time"
)

// useRaw lets the connection read and write by system calls of its own where it can.
// A read then takes a buffer only when there is something to read.
func (c *conn) useRaw() {
	sc, ok := c.nc.(interface {
		net.Conn
		SyscallConn() (syscall.RawConn, error)
	})
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	c.raw = raw
	c.readReady = c.readOnce
	c.writeIsNext = c.writeAll
}

// readOnce reads what there is. It returns false to be called again when there is
// something.
func (c *conn) readOnce(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), c.readTarget())
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if c.target == nil && len(c.in.b) == 0 {
				c.in.release(&c.srv.budget)
			}
			c.awaitRead()
			return false
		}
		c.moved, c.failure = max(n, 0), err
		return true
	}
}

// writeAll writes the rest of the output. It returns false to be called again when
// more can be written.
func (c *conn) writeAll(fd uintptr) bool {
	for c.moved < len(c.out.b) {
		n, err := syscall.Write(int(fd), c.out.b[c.moved:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			if !c.timed && c.srv.cfg.WriteTimeout > 0 {
				c.timed = true
				c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
			}
			return false
		case err != nil:
			c.failure = err
			return true
		default:
			c.moved += n
		}
	}
	return true
}

// maskFiles gives files that the process makes no more permissions than mode, until
// the function that it returns is called.
func maskFiles(mode os.FileMode) (restore func()) {
	old := syscall.Umask(int(0o777 &^ mode.Perm()))
	return func() { syscall.Umask(old) }
}
