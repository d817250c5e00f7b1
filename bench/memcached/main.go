// Command memcached compares quiesced with Debian's memcached: 50 connections, ten
// gets for each set, one command at a time and 16 at a time.
//
//	go run ./bench/memcached
//
// Both servers and the clients share the machine's processors, so a figure is
// about the three together; rounds alternate, and the median of each is compared.
// All of it is on Unix sockets or the loopback interface of this machine.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

var (
	connections = flag.Int("connections", 50, "connections")
	keys        = flag.Int("keys", 100_000, "keys, all of them stored before")
	size        = flag.Int("size", 100, "bytes of a value")
	duration    = flag.Duration("duration", 3*time.Second, "time of a round")
	rounds      = flag.Int("rounds", 5, "rounds of each server")
	depths      = flag.String("depths", "1,16", "commands that a connection sends at once")
	least       = flag.Float64("least", 0, "fail below this share of memcached's throughput")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "memcached:", err)
		os.Exit(1)
	}
}

// A contender is a server.
type contender struct {
	name    string
	command []string
	address string
	results []result
}

// A result is a round's.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

func run() error {
	dir, err := os.MkdirTemp("", "memcached")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "quiesced")
	if out, err := exec.Command("go", "build", "-o", binary, "quiesce/cmd/quiesced").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	address := func() (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer l.Close()
		return l.Addr().String(), nil
	}
	ours, err := address()
	if err != nil {
		return err
	}
	theirs, err := address()
	if err != nil {
		return err
	}
	_, theirPort, _ := net.SplitHostPort(theirs)
	both := []*contender{
		{name: "quiesced", address: ours, command: []string{binary, "-m", "512", "-l", ours}},
		{name: "memcached", address: theirs, command: []string{"memcached", "-m", "512", "-l", "127.0.0.1", "-p", theirPort, "-u", "root"}},
	}
	for _, c := range both {
		cmd := exec.Command(c.command[0], c.command[1:]...)
		if err := cmd.Start(); err != nil {
			return err
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
		if err := fill(c.address); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprint(w, "at once\tserver\tcommands/s\tmedian\tp99\tof memcached's\t\n")
	low := false
	for _, d := range strings.Split(*depths, ",") {
		var depth int
		if _, err := fmt.Sscan(d, &depth); err != nil || depth < 1 {
			return fmt.Errorf("-depths: %q", d)
		}
		for range *rounds {
			for _, c := range both {
				r, err := round(c.address, depth)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				c.results = append(c.results, r)
			}
		}
		base := median(both[1].results)
		for _, c := range both {
			m := median(c.results)
			ratio := m.perSecond / base.perSecond
			low = low || c != both[1] && ratio < *least
			fmt.Fprintf(w, "%d\t%s\t%.0f\t%v\t%v\t%.2f\t\n", depth, c.name, m.perSecond, m.p50.Round(time.Microsecond), m.p99.Round(time.Microsecond), ratio)
			c.results = nil
		}
	}
	if low {
		return fmt.Errorf("quiesced has less than %v of memcached's throughput", *least)
	}
	return nil
}

func median(rs []result) result {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b result) int { return int(a.perSecond - b.perSecond) })
	return rs[len(rs)/2]
}

func key(b []byte, n int) []byte { return fmt.Appendf(b, "key:%012d", n) }

// fill stores every key.
func fill(address string) error {
	var c net.Conn
	var err error
	for range 500 {
		if c, err = net.Dial("tcp", address); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	w := bufio.NewWriter(c)
	value := bytes.Repeat([]byte("v"), *size)
	for i := range *keys {
		w.WriteString("set ")
		w.Write(key(nil, i))
		fmt.Fprintf(w, " 0 0 %d noreply\r\n%s\r\n", *size, value)
	}
	w.WriteString("mn\r\n")
	if err := w.Flush(); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "MN\r\n" {
		err = fmt.Errorf("answer %q", line)
	}
	return err
}

// round drives a server for a while.
func round(address string, depth int) (result, error) {
	var wg sync.WaitGroup
	all := make([]*driver, *connections)
	errs := make([]error, *connections)
	for i := range all {
		d, err := newDriver(address, depth, uint64(i))
		if err != nil {
			return result{}, err
		}
		defer d.conn.Close()
		all[i] = d
	}
	start := time.Now()
	for i, d := range all {
		wg.Go(func() { errs[i] = d.drive(start.Add(*duration)) })
	}
	wg.Wait()
	took := time.Since(start)
	n := 0
	var times []time.Duration
	for _, d := range all {
		n += d.commands
		times = append(times, d.times...)
	}
	slices.Sort(times)
	if len(times) == 0 {
		return result{}, errors.Join(errs...)
	}
	return result{
		perSecond: float64(n) / took.Seconds(),
		p50:       times[len(times)/2],
		p99:       times[len(times)*99/100],
	}, errors.Join(errs...)
}

// A driver is a connection that sends batches and reads their answers.
type driver struct {
	conn     net.Conn
	depth    int
	rng      *rand.Rand
	out, in  []byte
	commands int
	times    []time.Duration // of batches
}

func newDriver(address string, depth int, seed uint64) (*driver, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &driver{
		conn: c, depth: depth, rng: rand.New(rand.NewPCG(seed, 1)),
		in: make([]byte, 64<<10), times: make([]time.Duration, 0, 1<<16),
	}, nil
}

// drive runs until end. The length of an answer says what it is: every key is
// there.
func (d *driver) drive(end time.Time) error {
	getAnswer := len("VALUE key:000000000000 0 \r\n") + len(fmt.Sprint(*size)) + *size + len("\r\nEND\r\n")
	setAnswer := len("STORED\r\n")
	value := bytes.Repeat([]byte("w"), *size)
	set := fmt.Appendf(nil, " 0 0 %d\r\n%s\r\n", *size, value)
	for now := time.Now(); now.Before(end); {
		d.out = d.out[:0]
		want := 0
		for range d.depth {
			n := d.rng.IntN(*keys)
			if d.rng.IntN(11) == 0 {
				d.out = append(key(append(d.out, "set "...), n), set...)
				want += setAnswer
			} else {
				d.out = append(key(append(d.out, "get "...), n), "\r\n"...)
				want += getAnswer
			}
		}
		if _, err := d.conn.Write(d.out); err != nil {
			return err
		}
		if _, err := io.ReadFull(d.conn, d.in[:want]); err != nil {
			return err
		}
		if d.in[0] != 'V' && d.in[0] != 'S' || d.in[want-1] != '\n' {
			return fmt.Errorf("answer %.100q", d.in[:want])
		}
		then := now
		now = time.Now()
		d.times = append(d.times, now.Sub(then))
		d.commands += d.depth
	}
	return nil
}
