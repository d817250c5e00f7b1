package server

import (
	"strings"
	"testing"
)

// batch runs text as what a connection reads at once.
func (c *conn) batch(t testing.TB, text []byte) {
	c.in.b = append(c.in.b[:0], text...)
	c.at, c.scanned = 0, 0
	for {
		line, ok := c.nextLine()
		if !ok {
			break
		}
		if err := c.exec(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
}

func newBatchConn(t testing.TB) (*conn, *fakeConn) {
	s := New(testConfig(newTestCache(t)))
	f := new(fakeConn)
	c := &conn{srv: s, nc: f, shard: &s.shards[0], authorized: true, now: 1_700_000_000}
	c.in.b = getBuffer()
	return c, f
}

// Commands that a client of a cache sends all day allocate nothing on Go's heap.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has allocations of its own")
	}
	c, _ := newBatchConn(t)
	value := strings.Repeat("v", 1000)
	c.batch(t, []byte("set key:with-a-usual-length:12345678 5 0 1000\r\n"+value+"\r\nset n 0 0 3\r\n100\r\n"))
	for name, text := range map[string]string{
		"get":       "get key:with-a-usual-length:12345678\r\n",
		"multiget":  "gets key:with-a-usual-length:12345678 a b key:with-a-usual-length:12345678\r\n",
		"set":       "set key:with-a-usual-length:12345678 5 0 1000\r\n" + value + "\r\n",
		"add":       "add key:with-a-usual-length:12345678 5 0 1000 noreply\r\n" + value + "\r\n",
		"incr":      "incr n 1\r\n",
		"touch":     "touch n 0\r\n",
		"mg":        "mg key:with-a-usual-length:12345678 v f c k Oabc\r\n",
		"mg t h":    "mg key:with-a-usual-length:12345678 v t h\r\n",
		"ms":        "ms key:with-a-usual-length:12345678 1000 F7 c\r\n" + value + "\r\n",
		"ma":        "ma n v c\r\n",
		"delete":    "delete none\r\n",
		"pipelined": strings.Repeat("get key:with-a-usual-length:12345678\r\nget n\r\n", 12),
		"error":     "get\r\nbogus\r\nset a b c d\r\n",
	} {
		in := []byte(text)
		if n := testing.AllocsPerRun(200, func() { c.batch(t, in) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	value := strings.Repeat("v", 100)
	for _, x := range [][2]string{
		{"get", "get key:12345678\r\n"},
		{"set", "set key:12345678 0 0 100\r\n" + value + "\r\n"},
		{"mg", "mg key:12345678 v\r\n"},
	} {
		b.Run(x[0], func(b *testing.B) {
			c, _ := newBatchConn(b)
			c.batch(b, []byte("set key:12345678 0 0 100\r\n"+value+"\r\n"))
			in := []byte(strings.Repeat(x[1], 16))
			b.ReportAllocs()
			for b.Loop() {
				c.batch(b, in)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*16), "ns/command")
		})
	}
}
