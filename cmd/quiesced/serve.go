package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"quiesce/cache"
	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/server"
)

// serve runs the server until a signal.
func serve(o *options) (err error) {
	var level slog.LevelVar
	level.Set(slog.LevelWarn - slog.Level(4*min(o.verbose, 2)))
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))
	if o.threads > 0 {
		runtime.GOMAXPROCS(o.threads)
	}
	c, err := cache.NewBytes(cache.Options[string, []byte]{
		Name:       "quiesced",
		MaxBytes:   o.memory << 20,
		ZeroOnFree: o.zero,
		Logger:     log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	store := item.NewStore(c, o.maxItem, cache.ErrTooLarge)
	st := &state{name: o.state, store: store, log: log}
	if err := st.load(); err != nil {
		return err
	}
	cfg := server.Config{
		Store: store, Log: log, LogLevel: &level,
		MaxConns: o.conns, MaxItem: o.maxItem, MaxBytes: o.memory << 20, ConnMemory: o.connMemory << 20,
		IdleTimeout: o.idle, WriteTimeout: o.write,
		NoFlush: o.noFlush, ShutdownCommand: o.shutdown,
		CacheStats:  func() []server.Stat { return cacheStats(c.Stats()) },
		SetMaxBytes: c.SetMaxBytes,
	}
	if o.users != "" {
		if cfg.Users, err = server.ReadUsers(o.users); err != nil {
			return err
		}
	}
	if cfg.TLS, err = o.tls(); err != nil {
		return err
	}
	s := server.New(cfg)

	// The signals are ours before clients can come.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(saveSignals, os.Interrupt, syscall.SIGTERM)...)
	defer signal.Stop(signals)

	listeners, err := o.open(log)
	if err != nil {
		return err
	}
	failed := make(chan error, len(listeners)+1)
	for _, l := range listeners {
		go func() { failed <- s.Serve(l) }()
	}
	if o.debug != "" {
		page, err := openPage(o.debug, s)
		if err != nil {
			return err
		}
		defer page.Close()
		go func() { failed <- page.Serve() }()
		fmt.Fprintf(os.Stderr, "quiesced: counters and profiles at http://%s\n", page.Addr())
	}

	var tick <-chan time.Time
	if o.interval > 0 {
		t := time.NewTicker(o.interval)
		defer t.Stop()
		tick = t.C
	}
	var failure error
	for stop := false; !stop; {
		select {
		case failure = <-failed:
			stop = true
		case <-s.AskedToStop():
			stop = true
		case sig := <-signals:
			if stop = !isSave(sig); !stop {
				st.save()
			}
		case <-tick:
			st.save()
		}
	}
	signal.Stop(signals) // a second signal ends the process
	ctx, cancel := context.WithTimeout(context.Background(), o.grace)
	defer cancel()
	s.Shutdown(ctx)
	if err := st.save(); err != nil {
		failure = errors.Join(failure, err)
	}
	return failure
}

// open opens the listeners.
func (o *options) open(log *slog.Logger) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	if o.socket != "" {
		l, err := server.ListenUnix(o.socket, o.mode)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "quiesced: listening on %s\n", o.socket)
		return []net.Listener{l}, nil
	}
	for _, a := range o.addresses() {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return all, err
		}
		all = append(all, l)
		fmt.Fprintf(os.Stderr, "quiesced: listening on %s\n", l.Addr())
		if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() && o.users == "" && o.clientCA == "" {
			log.Warn("anyone who reaches this address can read and change every item: see -Y, -tls-client-ca", "address", l.Addr().String())
		}
	}
	return all, nil
}

// tls returns what the TLS flags say, or nil.
func (o *options) tls() (*tls.Config, error) {
	if o.cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.clientCA != "" {
		text, err := os.ReadFile(o.clientCA)
		if err != nil {
			return nil, err
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificates in it", o.clientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// cacheStats are the cache's lines of stats, by memcached's names where it has one.
func cacheStats(s cache.Stats) []server.Stat {
	line := func(name string, n uint64) server.Stat {
		return server.Stat{Name: name, Value: strconv.FormatUint(n, 10)}
	}
	return []server.Stat{
		line("total_items", s.Sets),
		line("evictions", s.Evictions),
		line("reclaimed", s.Expirations),
		line("cache_lookup_hits", s.Hits),
		line("cache_lookup_misses", s.Misses),
		line("cache_replaced", s.Replaced),
		line("cache_deletes", s.Deletes),
		line("cache_cleared", s.Cleared),
		line("cache_busy", s.Busy),
		line("cache_dropped", s.Dropped),
	}
}

// A page is the debug page's server.
type page struct {
	l net.Listener
	s *http.Server
}

func (p *page) Addr() net.Addr { return p.l.Addr() }
func (p *page) Serve() error   { return p.s.Serve(p.l) }
func (p *page) Close() error   { return p.s.Close() }
