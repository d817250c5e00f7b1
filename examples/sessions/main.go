// Command sessions is an HTTP server with sessions in a cache outside the Go heap: the
// collector does not scan them, they end when nobody asks for them, and their memory has
// a limit that holds.
package main

import (
	"context"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const help = `sessions: an HTTP server with sessions outside the Go heap

Usage: go run ./examples/sessions [flags]

Flags:
  -addr ADDR    listen here (default 127.0.0.1:8080)
  -budget MIB   memory for sessions, in MiB (default 512: two million of them)
  -ttl TIME     a session ends if it is not used for so long (default 30m)
  -fill N       begin with N sessions, and print what memory and a garbage
                collection take (default 0)

  go run ./examples/sessions -fill 2000000 &
  curl -c jar -X POST '127.0.0.1:8080/login?user=7'
  curl -b jar 127.0.0.1:8080/me
  curl 127.0.0.1:8080/debug/vars
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	fs := flag.NewFlagSet("sessions", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	addr := fs.String("addr", "127.0.0.1:8080", "")
	budget := fs.Int64("budget", 512, "")
	ttl := fs.Duration("ttl", 30*time.Minute, "")
	fill := fs.Int("fill", 0, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, help)
		return 0
	case err != nil || fs.NArg() > 0 || *ttl <= 0 || *fill < 0:
		fmt.Fprintf(errs, "sessions: bad flags: %s (see -h)\n", strings.Join(args, " "))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr, *budget<<20, *ttl, *fill, out); err != nil {
		fmt.Fprintf(errs, "sessions: %v\n", err)
		return 1
	}
	return 0
}

// caches has the figures that /debug/vars shows.
var caches = expvar.NewMap("caches")

// serve serves until ctx ends.
func serve(ctx context.Context, addr string, budget int64, ttl time.Duration, fill int, out io.Writer) error {
	store, err := NewStore(budget, ttl, time.Now)
	if err != nil {
		return err
	}
	defer store.c.Close()
	caches.Set("sessions", expvar.Func(store.Vars))
	if fill > 0 {
		start := time.Now()
		if err := store.Fill(fill); err != nil {
			return err
		}
		report(out, store, time.Since(start))
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newServer(store), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- server.Shutdown(late)
	}()
	fmt.Fprintf(out, "listening on http://%s\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// report prints what the sessions cost.
func report(out io.Writer, s *Store, took time.Duration) {
	start := time.Now()
	runtime.GC()
	gc := time.Since(start)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n := s.c.Stats()
	const mib = 1 << 20
	fmt.Fprintf(out, "%d sessions in %v (%d evicted): %d MiB of %d", n.Entries, took.Round(time.Millisecond), n.Evictions, n.Bytes/mib, n.MaxBytes/mib)
	fmt.Fprintf(out, "; Go heap %d MiB, a collection %v", m.HeapAlloc/mib, gc.Round(10*time.Microsecond))
	if rss := rss(); rss > 0 {
		fmt.Fprintf(out, "; RSS %d MiB", rss/mib)
	}
	fmt.Fprintln(out)
}

// rss returns the process's resident memory in bytes; 0 where the system does not tell.
func rss() (bytes int64) {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib int64
			fmt.Sscan(rest, &kib)
			return kib << 10
		}
	}
	return 0
}
