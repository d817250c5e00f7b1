package server

import (
	"errors"
	"log/slog"

	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/proto"
)

// Version is what version answers: the memcached whose protocol this is, for
// clients that look at the number, and a name.
const Version = "1.6.18-quiesced"

// admin answers commands that are about the server.
func (c *conn) admin() error {
	r, s := &c.req, c.srv
	switch r.Op {
	case proto.FlushAll:
		c.counts[cmdFlush]++
		switch {
		case s.cfg.NoFlush:
			return c.answer("CLIENT_ERROR flush_all not allowed")
		case r.Delayed && int64(item.Expiry(r.Exptime, c.now)) > c.now:
			s.store.FlushAt(int64(item.Expiry(r.Exptime, c.now)))
		default:
			s.store.Flush()
		}
		return c.answer("OK")
	case proto.Stats:
		return c.stats()
	case proto.Version:
		return c.reply("VERSION " + Version)
	case proto.Verbosity:
		level := [...]slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}
		s.cfg.LogLevel.Set(level[min(r.Level, 2)])
		return c.answer("OK")
	case proto.MemLimit:
		return c.answer(s.setMemLimit(r.Level))
	case proto.Shutdown:
		return c.shutdown()
	}
	return c.reply("ERROR")
}

func (c *conn) shutdown() error {
	s, args := c.srv, c.req.Args
	switch {
	case !s.cfg.ShutdownCommand:
		return c.reply("ERROR: shutdown not enabled")
	case len(args) == 0, len(args) == 1 && string(args[0]) == "graceful":
		c.leaving = true
		s.askToStop()
		return nil
	}
	return c.reply("CLIENT_ERROR invalid shutdown mode")
}

// setMemLimit changes the cache's memory, in MiB.
func (s *Server) setMemLimit(mib uint32) string {
	switch {
	case mib < 8:
		return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"
	case mib > 1_000_000_000:
		return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"
	}
	n := int64(mib) << 20
	err := errors.ErrUnsupported
	if s.cfg.SetMaxBytes != nil {
		err = s.cfg.SetMaxBytes(n)
	}
	if err != nil {
		s.cfg.Log.Warn("cache_memlimit", "MiB", mib, "error", err)
		return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"
	}
	s.maxBytes.Store(n)
	return "OK"
}
