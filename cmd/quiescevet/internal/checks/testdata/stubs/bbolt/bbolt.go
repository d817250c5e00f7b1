// Package bbolt has the signatures of go.etcd.io/bbolt that the tests need.
package bbolt

type DB struct{}

func (db *DB) View(fn func(*Tx) error) error    { return fn(nil) }
func (db *DB) Update(fn func(*Tx) error) error  { return fn(nil) }
func (db *DB) Batch(fn func(*Tx) error) error   { return fn(nil) }
func (db *DB) Begin(writable bool) (*Tx, error) { return nil, nil }

type Tx struct{}

func (tx *Tx) Bucket(name []byte) *Bucket { return nil }
func (tx *Tx) Cursor() *Cursor            { return nil }
func (tx *Tx) Commit() error              { return nil }
func (tx *Tx) Rollback() error            { return nil }

type Bucket struct{}

func (b *Bucket) Get(key []byte) []byte                    { return nil }
func (b *Bucket) Bucket(name []byte) *Bucket               { return nil }
func (b *Bucket) Cursor() *Cursor                          { return nil }
func (b *Bucket) ForEach(fn func(k, v []byte) error) error { return nil }

type Cursor struct{}

func (c *Cursor) First() (key []byte, value []byte)           { return nil, nil }
func (c *Cursor) Last() (key []byte, value []byte)            { return nil, nil }
func (c *Cursor) Next() (key []byte, value []byte)            { return nil, nil }
func (c *Cursor) Prev() (key []byte, value []byte)            { return nil, nil }
func (c *Cursor) Seek(seek []byte) (key []byte, value []byte) { return nil, nil }
