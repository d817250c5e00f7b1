package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"quiesce/cmd/quiesced/internal/proto"
)

// maxKeysLine is how long a list of keys may be, as a line.
const maxKeysLine = 1 << 20

// errLine ends a connection whose line has no end.
var errLine = errors.New("line too long")

// A conn is a connection. All of it belongs to its goroutine, except nc, of which the
// server sets deadlines.
type conn struct {
	srv *Server
	nc  net.Conn
	raw syscall.RawConn // nil: reads and writes are nc's
	now int64           // Unix time of the batch

	in      space // what was read; in.b[at:] is yet to be parsed
	at      int
	scanned int // in.b[at:scanned] has no line end
	out     space

	req     proto.Request
	line    []byte // a copy of a command's line whose data was not there yet
	value   space  // the item that a command stores
	scratch []byte // the store's, while a command runs

	authorized bool
	leaving    bool // after this batch
	counts     counts
	shard      *shard

	// Of a transfer through raw.
	target      []byte // nil: in
	moved       int
	failure     error
	timed       bool // a write deadline is set
	readReady   func(fd uintptr) bool
	writeIsNext func(fd uintptr) bool
}

// serve answers commands until the connection ends.
func (c *conn) serve() {
	defer func() {
		c.in.release(&c.srv.budget)
		c.out.release(&c.srv.budget)
		c.value.release(&c.srv.budget)
		c.fold()
	}()
	for {
		c.now = time.Now().Unix()
		for !c.leaving {
			line, ok := c.nextLine()
			if !ok {
				break
			}
			if err := c.exec(line); err != nil {
				return
			}
		}
		if err := c.flush(); err != nil || c.leaving || c.lineTooLong() {
			return
		}
		if err := c.fill(); err != nil {
			return
		}
	}
}

// nextLine takes a line, without its line end, from what was read.
func (c *conn) nextLine() ([]byte, bool) {
	c.scanned = max(c.scanned, c.at)
	i := bytes.IndexByte(c.in.b[c.scanned:], '\n')
	if i < 0 {
		c.scanned = len(c.in.b)
		return nil, false
	}
	line := c.in.b[c.at : c.scanned+i]
	c.at = c.scanned + i + 1
	if n := len(line); n > 1 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, true
}

// lineTooLong reports whether what was read is more than a line may have. Lists of
// keys may be long.
func (c *conn) lineTooLong() bool {
	n := len(c.in.b) - c.at
	if n <= proto.MaxLine {
		return false
	}
	verb, _ := proto.NextKey(c.in.b[c.at : c.at+100])
	switch string(verb) {
	case "get", "gets", "gat", "gats":
		return !c.authorized || n > maxKeysLine
	}
	return true
}

// fill reads more, at least one byte.
func (c *conn) fill() error {
	if c.at == len(c.in.b) {
		c.at, c.scanned = 0, 0
		if c.raw != nil || c.in.taken > 0 {
			c.in.release(&c.srv.budget) // receive takes another buffer
			return c.receive(nil)
		}
		c.in.b = c.in.b[:0]
	}
	if c.at > 0 {
		n := copy(c.in.b, c.in.b[c.at:])
		c.scanned -= c.at
		c.in.b, c.at = c.in.b[:n], 0
	}
	if len(c.in.b) == cap(c.in.b) && !c.in.grow(max(len(c.in.b), 1), &c.srv.budget) {
		return errLine
	}
	return c.receive(nil)
}

// receive waits until there is something to read, and reads it into p, or to the end
// of in. It returns an error, or has read into in at least one byte.
func (c *conn) receive(p []byte) error {
	c.target, c.moved, c.failure = p, 0, nil
	var err error
	if c.raw != nil {
		err = c.raw.Read(c.readReady)
	} else {
		c.awaitRead()
		c.moved, c.failure = c.nc.Read(c.readTarget())
	}
	if err == nil {
		err = c.failure
	}
	if c.moved > 0 {
		c.counts[bytesRead] += uint64(c.moved)
		if p == nil {
			c.in.b = c.in.b[:len(c.in.b)+c.moved]
		}
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// readTarget is where receive reads to.
func (c *conn) readTarget() []byte {
	if c.target != nil {
		return c.target
	}
	if c.in.b == nil {
		c.in.b = getBuffer()
	}
	return c.in.b[len(c.in.b):cap(c.in.b)]
}

// awaitRead sets the deadline of a read that has to wait. The server first says that
// it stops and then sets a deadline, and here it is the other way round, so one of
// the two sees the other.
func (c *conn) awaitRead() {
	if d := c.srv.cfg.IdleTimeout; d > 0 {
		c.nc.SetReadDeadline(time.Now().Add(d))
		if c.srv.stopping.Load() {
			c.nc.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// flush writes what was answered.
func (c *conn) flush() error {
	if len(c.out.b) == 0 {
		c.out.release(&c.srv.budget)
		return nil
	}
	c.moved, c.failure = 0, nil
	var err error
	if c.raw != nil {
		err = c.raw.Write(c.writeIsNext)
		if c.timed {
			c.nc.SetWriteDeadline(time.Time{})
			c.timed = false
		}
	} else {
		c.nc.SetWriteDeadline(c.srv.writeDeadline())
		c.moved, c.failure = c.nc.Write(c.out.b)
	}
	if err == nil {
		err = c.failure
	}
	c.counts[bytesWritten] += uint64(c.moved)
	c.fold()
	c.out.release(&c.srv.budget)
	return err
}

// reserve makes room for n bytes of output. It may write, so no guard may be held. It
// returns errBudget if there is no memory, and another error if the connection is
// broken.
func (c *conn) reserve(n int) error {
	if len(c.out.b)+n > max(cap(c.out.b), bufferSize) && len(c.out.b) > 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if !c.out.grow(n, &c.srv.budget) {
		return errBudget
	}
	return nil
}

var errBudget = errors.New("no memory for connections")

// reply answers a line. It is short enough for a buffer.
func (c *conn) reply(text string) error {
	if err := c.reserve(len(text) + 2); err != nil {
		return err
	}
	c.out.b = proto.AppendLine(c.out.b, text)
	return nil
}

// answer is reply, unless the client wants none.
func (c *conn) answer(text string) error {
	if c.req.NoReply {
		return nil
	}
	return c.reply(text)
}

// discard skips n bytes of data.
func (c *conn) discard(n int) error {
	for {
		skip := min(n, len(c.in.b)-c.at)
		c.at += skip
		if n -= skip; n == 0 {
			return nil
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}
