package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"quiesce/cache"
)

// ID names a session: 128 random bits, which nobody can guess.
type ID [16]byte

func newID() (id ID) {
	rand.Read(id[:]) // it does not fail
	return id
}

func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func parseID(s string) (id ID, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(b) != len(id) {
		err = errors.New("not a session's ID")
	}
	copy(id[:], b)
	return id, err
}

// Session is what is known of a user between two requests. It has no Go pointers, so it
// can be off the heap.
type Session struct {
	User    uint64
	Created int64 // Unix time in seconds, as the next
	Renewed int64
	Views   uint32
	CSRF    [16]byte // forms have it, so that other sites' forms are refused
	Cart    [10]Item
}

// Item is a line of a cart.
type Item struct{ Article, Number uint32 }

// Store has the sessions.
type Store struct {
	c   *cache.Cache[ID, Session]
	ttl time.Duration
	now func() time.Time
}

// NewStore makes a store of at most budget bytes, in which a session ends that was not
// asked for during ttl.
func NewStore(budget int64, ttl time.Duration, now func() time.Time) (*Store, error) {
	c, err := cache.New(cache.Options[ID, Session]{
		Name:       "sessions",
		MaxBytes:   budget,
		TTL:        ttl,
		ZeroOnFree: true, // what has ended is not in a core dump
		Now:        now,
	})
	if err != nil {
		return nil, err
	}
	return &Store{c, ttl, now}, nil
}

// Begin begins a session.
func (s *Store) Begin(user uint64) (ID, error) {
	id, now := newID(), s.now().Unix()
	v := Session{User: user, Created: now, Renewed: now, CSRF: newID()}
	if err := s.c.Set(id, v); err != nil {
		return id, fmt.Errorf("the session can't be kept: %w", err)
	}
	return id, nil
}

// Get returns a session. One that was asked for in the last half of its time begins its
// time anew.
func (s *Store) Get(id ID) (Session, bool) {
	v, ok := s.c.Get(id)
	if ok && s.now().Sub(time.Unix(v.Renewed, 0)) > s.ttl/2 {
		return v, s.Put(id, v) == nil
	}
	return v, ok
}

// Put changes a session. A change of two requests at a time is the later one's.
func (s *Store) Put(id ID, v Session) error {
	v.Renewed = s.now().Unix()
	return s.c.Set(id, v)
}

// End ends a session.
func (s *Store) End(id ID) bool { return s.c.Delete(id) }

// Fill begins n sessions, of users 1 to n.
func (s *Store) Fill(n int) error {
	for i := range n {
		if _, err := s.Begin(uint64(i + 1)); err != nil {
			return err
		}
	}
	return nil
}

// token is the text of a session's CSRF.
func (v *Session) token() string { return fmt.Sprintf("%016x", binary.BigEndian.Uint64(v.CSRF[:8])) }
