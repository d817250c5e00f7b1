package item

import (
	"sync"
	"time"
)

// flush is a flush_all that is to come.
type flush struct {
	mu    sync.Mutex
	timer *time.Timer
	// turn counts flushes: a timer that fires too late to be stopped finds another
	// one. Protected by mu.
	turn uint64
}

// Flush removes every item that is stored before it returns. A flush that was to
// come is forgotten.
func (s *Store) Flush() {
	f := &s.flush
	f.mu.Lock()
	defer f.mu.Unlock()
	s.stopFlushLocked()
	s.clear()
}

// FlushAt calls Flush at a Unix time, unless another flush comes first.
func (s *Store) FlushAt(at int64) {
	f := &s.flush
	f.mu.Lock()
	defer f.mu.Unlock()
	s.stopFlushLocked()
	turn := f.turn
	f.timer = time.AfterFunc(time.Until(time.Unix(at, 0)), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.turn == turn {
			s.clear()
		}
	})
}

// StopFlush forgets a flush that was to come.
func (s *Store) StopFlush() {
	s.flush.mu.Lock()
	defer s.flush.mu.Unlock()
	s.stopFlushLocked()
}

func (s *Store) stopFlushLocked() {
	s.flush.turn++
	if s.flush.timer != nil {
		s.flush.timer.Stop()
	}
}

// clear removes every item, while no command changes one.
func (s *Store) clear() {
	for i := range s.stripes {
		s.stripes[i].mu.Lock()
	}
	s.cache.Clear()
	for i := range s.stripes {
		s.stripes[i].mu.Unlock()
	}
}
