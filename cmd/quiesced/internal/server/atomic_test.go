package server

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// client is a connection and its answers.
type client struct {
	net.Conn
	in *bufio.Reader
}

// line sends text and returns a line of the answer, or "".
func (c *client) line(text string) string {
	if _, err := c.Write([]byte(text)); err != nil {
		return ""
	}
	s, _ := c.in.ReadString('\n')
	return strings.TrimSuffix(s, "\r\n")
}

// together runs fn on connections of their own, at the same time.
func together(t *testing.T, address string, n int, fn func(c *client, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		c := dial(t, "tcp", address)
		wg.Go(func() { fn(&client{c, bufio.NewReader(c)}, i) })
	}
	wg.Wait()
}

// Commands that read an item and write it back lose nothing to each other.
func TestChangesAreAtomic(t *testing.T) {
	clients, rounds := 8, 200
	if testing.Short() {
		rounds = 30
	}
	_, address := start(t, testConfig(newTestCache(t)))
	c := dial(t, "tcp", address)
	ask(t, c, "set n 0 0 1\r\n0\r\nset s 0 0 0\r\n\r\nset cas 0 0 1\r\n0\r\n", "STORED\r\nSTORED\r\nSTORED")
	var mu sync.Mutex
	added, marked := 0, 0
	together(t, address, clients, func(c *client, i int) {
		for j := range rounds {
			c.line("incr n 1\r\n")
			c.line("append s 0 0 1\r\nx\r\n")
			c.line("ma n D2\r\n")
			if c.line(fmt.Sprintf("add a%d 0 0 1\r\nx\r\n", j)) == "STORED" {
				mu.Lock()
				added++
				mu.Unlock()
			}
			if strings.HasSuffix(c.line(fmt.Sprintf("mg w%d N100\r\n", j)), " W") {
				mu.Lock()
				marked++
				mu.Unlock()
			}
			for {
				var flags, length, cas, n uint64
				if _, err := fmt.Sscanf(c.line("gets cas\r\n"), "VALUE cas %d %d %d", &flags, &length, &cas); err != nil {
					t.Errorf("gets: %v", err)
					return
				}
				fmt.Fscanf(c.in, "%d\r\n", &n)
				c.in.ReadString('\n')
				text := fmt.Sprint(n + 1)
				if c.line(fmt.Sprintf("cas cas 0 0 %d %d\r\n%s\r\n", len(text), cas, text)) == "STORED" {
					break
				}
			}
		}
	})
	if got := ask(t, c, "get n\r\n", "END"); !strings.Contains(got, fmt.Sprintf("\r\n%d\r\n", 3*clients*rounds)) {
		t.Errorf("%d increments: %q", clients*rounds, got)
	}
	if got := ask(t, c, "get cas\r\n", "END"); !strings.Contains(got, fmt.Sprintf("\r\n%d\r\n", clients*rounds)) {
		t.Errorf("%d times cas: %q", clients*rounds, got)
	}
	if got := ask(t, c, "mg s s\r\nmn\r\n", "MN"); !strings.HasPrefix(got, fmt.Sprintf("HD s%d\r\n", clients*rounds)) {
		t.Errorf("%d times append: %q", clients*rounds, got)
	}
	if added != rounds || marked != rounds {
		t.Errorf("%d adds and %d wins of %d", added, marked, rounds)
	}
}

// What is stored after a flush has returned stays, and what was stored before it is gone.
func TestFlushesAreAtomic(t *testing.T) {
	_, address := start(t, testConfig(newTestCache(t)))
	together(t, address, 4, func(c *client, i int) {
		for j := range 200 {
			key := fmt.Sprintf("k%d-%d", i, j)
			c.line("set " + key + " 0 0 1\r\nx\r\n")
			if i == 0 {
				c.line("flush_all\r\n")
				if got := c.line("get " + key + "\r\n"); got != "END" {
					t.Errorf("%s outlived a flush: %q", key, got)
					return
				}
			}
		}
	})
	c := dial(t, "tcp", address)
	ask(t, c, "flush_all\r\nset a 0 0 1\r\nx\r\n", "OK\r\nSTORED")
	if got := ask(t, c, "get a\r\n", "END"); got == "END\r\n" {
		t.Error("what was stored after the flush is gone")
	}
}
