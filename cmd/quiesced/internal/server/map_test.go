package server

import (
	"errors"
	"io"
	"sync"
	"time"

	"quiesce/rcu"
)

// mapCache is a cache without a limit, for tests of the protocol alone: the fuzzer
// would otherwise make a real one for each input.
type mapCache struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newMapCache() *mapCache { return &mapCache{m: map[string][]byte{}} }

func (c *mapCache) GetKey(_ rcu.Guard, k []byte) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.m[string(k)]
	return v, ok
}

func (c *mapCache) SetTTL(k string, v []byte, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[string([]byte(k))] = append([]byte(nil), v...)
	return nil
}

func (c *mapCache) Delete(k string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.m[k]
	delete(c.m, k)
	return ok
}

func (c *mapCache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.m)
}

func (c *mapCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}

func (c *mapCache) Bytes() int64         { return 0 }
func (c *mapCache) Save(io.Writer) error { return errors.ErrUnsupported }
func (c *mapCache) Load(io.Reader) error { return errors.ErrUnsupported }
