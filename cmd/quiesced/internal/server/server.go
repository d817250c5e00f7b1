package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesced/internal/item"
)

// A Config says how to serve. Store, Log and LogLevel are required.
type Config struct {
	Store    *item.Store
	Log      *slog.Logger
	LogLevel *slog.LevelVar

	MaxConns     int           // connections at a time
	MaxItem      int           // bytes of an item, for stats
	MaxBytes     int64         // the cache's limit, for stats
	ConnMemory   int64         // bytes of large buffers of all connections
	IdleTimeout  time.Duration // of a connection without commands; 0: none
	WriteTimeout time.Duration // of a client that does not read; 0: none

	Users           *Users // nil: no authentication
	TLS             *tls.Config
	NoFlush         bool // flush_all is refused
	ShutdownCommand bool // shutdown is allowed

	CacheStats  func() []Stat     // further lines of stats
	SetMaxBytes func(int64) error // cache_memlimit; nil: refused
}

// A Server serves connections.
type Server struct {
	cfg     Config
	store   *item.Store
	budget  budget
	started time.Time
	stop    chan struct{} // closed by askToStop

	// Counted, and read by stats. connected also bounds connections: whoever makes
	// it larger than MaxConns takes it back and leaves.
	connected atomic.Int64
	accepted  atomic.Int64
	rejected  atomic.Int64
	maxBytes  atomic.Int64
	shards    [shards]shard

	// stopping is set before the deadlines of Shutdown: see conn.awaitRead.
	stopping atomic.Bool

	mu        sync.Mutex
	asked     bool // stop is closed
	listeners map[net.Listener]bool
	conns     map[net.Conn]bool
	reset     counts // what stats subtracts
	running   sync.WaitGroup
}

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{
		cfg:       cfg,
		store:     cfg.Store,
		started:   time.Now(),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]bool{},
		conns:     map[net.Conn]bool{},
	}
	s.budget.limit = cfg.ConnMemory
	s.maxBytes.Store(cfg.MaxBytes)
	return s
}

// ErrStopped is the error of Serve after Shutdown.
var ErrStopped = errors.New("server stopped")

// AskedToStop returns a channel that is closed when a client has asked for a
// shutdown.
func (s *Server) AskedToStop() <-chan struct{} { return s.stop }

func (s *Server) askToStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		s.asked = true
		close(s.stop)
	}
}

// maxPause is how long Serve waits when it can't accept, because files have run out.
const maxPause = time.Second

// Serve serves the connections of l until Shutdown, and closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		return ErrStopped
	}
	s.listeners[l] = true
	s.mu.Unlock()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case s.stopping.Load():
			if err == nil {
				nc.Close()
			}
			return ErrStopped
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			pause = min(max(2*pause, time.Millisecond), maxPause)
			s.cfg.Log.Warn("accept", "error", err, "pause", pause)
			time.Sleep(pause)
		default:
			pause = 0
			s.admit(nc)
		}
	}
}

// admit serves a connection, if there are not too many.
func (s *Server) admit(nc net.Conn) {
	if s.connected.Add(1) > int64(s.cfg.MaxConns) {
		s.connected.Add(-1)
		s.rejected.Add(1)
		nc.SetWriteDeadline(time.Now().Add(time.Millisecond)) // there is room in a new socket
		nc.Write([]byte("ERROR Too many open connections\r\n"))
		nc.Close()
		return
	}
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		s.connected.Add(-1)
		nc.Close()
		return
	}
	s.conns[nc] = true
	s.running.Add(1)
	s.mu.Unlock()
	n := s.accepted.Add(1)
	go func() {
		defer s.running.Done()
		defer s.connected.Add(-1)
		s.handle(nc, &s.shards[n%shards])
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
		nc.Close()
	}()
}

// handshakeTime is how long a client has for the TLS handshake.
const handshakeTime = 10 * time.Second

func (s *Server) handle(nc net.Conn, sh *shard) {
	c := &conn{srv: s, nc: nc, shard: sh, authorized: s.cfg.Users == nil}
	if s.cfg.TLS != nil && nc.LocalAddr().Network() != "unix" {
		t := tls.Server(nc, s.cfg.TLS)
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			s.cfg.Log.Info("TLS handshake", "client", nc.RemoteAddr(), "error", err)
			return
		}
		c.nc = t
		defer t.Close()
	} else {
		c.useRaw()
	}
	c.serve()
}

func (s *Server) writeDeadline() time.Time {
	if s.cfg.WriteTimeout > 0 {
		return time.Now().Add(s.cfg.WriteTimeout)
	}
	return time.Time{}
}

// Shutdown stops serving. Each connection answers what it has read, and is closed;
// those that have not ended when ctx is done are closed at once. Serve returns
// ErrStopped.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.stopping.Store(true)
	for l := range s.listeners {
		l.Close()
	}
	for nc := range s.conns {
		nc.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		s.mu.Lock()
		for nc := range s.conns {
			nc.Close()
		}
		s.mu.Unlock()
		<-ended
	}
	s.store.StopFlush()
}
