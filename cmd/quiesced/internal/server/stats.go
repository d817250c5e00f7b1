package server

import (
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesced/internal/proto"
)

// counter names what connections count.
type counter int

const (
	cmdGet counter = iota
	cmdSet
	cmdFlush
	cmdTouch
	cmdMeta
	getHits
	getMisses
	deleteHits
	deleteMisses
	incrHits
	incrMisses
	decrHits
	decrMisses
	casHits
	casMisses
	casBadval
	touchHits
	touchMisses
	storeTooLarge
	storeNoMemory
	authCmds
	authErrors
	bytesRead
	bytesWritten
	counters
)

// counterNames are those of stats.
var counterNames = [counters]string{
	cmdGet: "cmd_get", cmdSet: "cmd_set", cmdFlush: "cmd_flush", cmdTouch: "cmd_touch", cmdMeta: "cmd_meta",
	getHits: "get_hits", getMisses: "get_misses", deleteHits: "delete_hits", deleteMisses: "delete_misses",
	incrHits: "incr_hits", incrMisses: "incr_misses", decrHits: "decr_hits", decrMisses: "decr_misses",
	casHits: "cas_hits", casMisses: "cas_misses", casBadval: "cas_badval",
	touchHits: "touch_hits", touchMisses: "touch_misses",
	storeTooLarge: "store_too_large", storeNoMemory: "store_no_memory",
	authCmds: "auth_cmds", authErrors: "auth_errors", bytesRead: "bytes_read", bytesWritten: "bytes_written",
}

// counts are a connection's since it last folded them into a shard.
type counts [counters]uint64

// shards is how many places connections fold their counts into. Untuned.
const shards = 16

// A shard has counts of some connections. They are only added up.
type shard struct {
	n [counters]atomic.Uint64
	_ [64]byte
}

// fold adds the connection's counts to its shard.
func (c *conn) fold() {
	for i := range c.counts {
		if n := c.counts[i]; n != 0 {
			c.shard.n[i].Add(n)
			c.counts[i] = 0
		}
	}
}

// total returns the counts of all connections, less those of the last reset.
func (s *Server) total() (t counts) {
	for i := range s.shards {
		for j := range t {
			t[j] += s.shards[i].n[j].Load()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range t {
		t[j] -= s.reset[j]
	}
	return t
}

// resetStats makes total begin anew.
func (s *Server) resetStats() {
	t := s.total()
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range t {
		s.reset[j] += t[j]
	}
}

// A Stat is a line of stats.
type Stat struct {
	Name  string
	Value string
}

func number[N int | int64 | uint64](name string, n N) Stat {
	return Stat{name, strconv.FormatInt(int64(n), 10)}
}

// Stats returns what stats answers.
func (s *Server) Stats() []Stat {
	total := s.total()
	stats := []Stat{
		number("pid", os.Getpid()),
		number("uptime", int64(time.Since(s.started)/time.Second)),
		number("time", time.Now().Unix()),
		{"version", Version},
		number("pointer_size", bits.UintSize),
		number("curr_connections", s.connected.Load()),
		number("total_connections", s.accepted.Load()),
		number("rejected_connections", s.rejected.Load()),
		number("max_connections", s.cfg.MaxConns),
		number("threads", runtime.GOMAXPROCS(0)),
	}
	for i, name := range counterNames {
		stats = append(stats, number(name, total[i]))
	}
	stats = append(stats,
		number("limit_maxbytes", s.maxBytes.Load()),
		number("bytes", s.store.Bytes()),
		number("curr_items", s.store.Len()),
		number("conn_memory_used", s.budget.used.Load()),
		number("conn_memory_limit", s.budget.limit),
	)
	if s.cfg.CacheStats != nil {
		stats = append(stats, s.cfg.CacheStats()...)
	}
	return stats
}

// settings returns what stats settings answers.
func (s *Server) settings() []Stat {
	return []Stat{
		number("maxbytes", s.maxBytes.Load()),
		number("maxconns", s.cfg.MaxConns),
		number("item_size_max", s.cfg.MaxItem),
		number("num_threads", runtime.GOMAXPROCS(0)),
		{"cas_enabled", "yes"},
		{"evictions", "on"},
		{"flush_enabled", yes(!s.cfg.NoFlush)},
		{"shutdown_command", yes(s.cfg.ShutdownCommand)},
		{"auth_enabled_ascii", yes(s.cfg.Users != nil)},
		{"idle_timeout", strconv.Itoa(int(s.cfg.IdleTimeout / time.Second))},
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// stats answers stats.
func (c *conn) stats() error {
	var stats []Stat
	what := ""
	if len(c.req.Args) > 0 {
		what = string(c.req.Args[0])
	}
	switch what {
	case "":
		c.fold()
		stats = c.srv.Stats()
	case "settings":
		stats = c.srv.settings()
	case "items", "slabs", "sizes", "conns": // none of these are here
	case "reset":
		c.fold()
		c.srv.resetStats()
		return c.reply("RESET")
	default:
		return c.reply("ERROR")
	}
	for _, st := range stats {
		if err := c.reserve(len(st.Name) + len(st.Value) + 8); err != nil {
			return err
		}
		c.out.b = proto.AppendStat(c.out.b, st.Name, st.Value)
	}
	return c.reply("END")
}
