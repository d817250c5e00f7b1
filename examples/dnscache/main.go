// Command dnscache answers DNS questions by UDP, from a cache outside the Go heap, and
// asks another server for what that does not have.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const help = `dnscache: a DNS forwarder with a cache outside the Go heap

Usage: go run ./examples/dnscache [flags]

Flags:
  -listen ADDR    answer here, by UDP (default 127.0.0.1:5300)
  -server ADDR    ask this server (default 127.0.0.53:53)
  -memory MIB     for answers, in MiB (default 64)
  -max-ttl TIME   keep no answer longer (default 24h)
  -stale TIME     while the server fails, give answers whose time is over for so
                  long (default 24h)

Answers are kept as long as they say, those that there is no such name too. Who
asks what is being asked for waits for that answer.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	fs := flag.NewFlagSet("dnscache", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	listen := fs.String("listen", "127.0.0.1:5300", "")
	up := &Upstream{Timeout: 2 * time.Second}
	fs.StringVar(&up.Addr, "server", "127.0.0.53:53", "")
	memory := fs.Int64("memory", 64, "")
	o := Options{Resolver: up}
	fs.DurationVar(&o.MaxTTL, "max-ttl", 24*time.Hour, "")
	fs.DurationVar(&o.StaleFor, "stale", 24*time.Hour, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, help)
		return 0
	case err != nil || fs.NArg() > 0 || *memory <= 0:
		fmt.Fprintf(errs, "dnscache: bad flags: %s (see -h)\n", strings.Join(args, " "))
		return 2
	}
	o.MaxBytes = *memory << 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, o, out); err != nil {
		fmt.Fprintf(errs, "dnscache: %v\n", err)
		return 1
	}
	return 0
}

// serve answers until ctx ends, and prints what there was.
func serve(ctx context.Context, listen string, o Options, out io.Writer) error {
	c, err := NewCache(o)
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	fmt.Fprintf(out, "listening on %s\n", conn.LocalAddr())
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	err = c.Serve(ctx, conn, 1000)
	s := c.fresh.Stats()
	fmt.Fprintf(out, "%d questions, %.1f %% answered from memory; %d answers, %d bytes\n", s.Hits+s.Misses, 100*s.HitRatio(), s.Entries, s.Bytes)
	return errors.Join(err, c.Close())
}
