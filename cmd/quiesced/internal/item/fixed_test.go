package item

import (
	"iter"
	"time"

	"quiesce/rcu"
)

// fixed is a cache with one key, and none for an empty value.
type fixed struct {
	k string
	v []byte
}

func (c *fixed) GetKey(_ rcu.Guard, k []byte) ([]byte, bool) {
	return c.v, c.v != nil && string(k) == c.k
}

func (c *fixed) SetTTL(k string, v []byte, _ time.Duration) error {
	c.k, c.v = string([]byte(k)), append([]byte{}, v...)
	return nil
}

func (c *fixed) Delete(string) bool { return false }
func (c *fixed) Clear()             { c.v = nil }
func (c *fixed) Len() int           { return 0 }
func (c *fixed) Bytes() int64       { return 0 }

func (c *fixed) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if c.v != nil {
			yield(c.k, c.v)
		}
	}
}
