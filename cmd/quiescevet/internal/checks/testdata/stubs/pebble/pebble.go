// Package pebble has the signatures of github.com/cockroachdb/pebble that the
// tests need.
package pebble

import "io"

type DB struct{}

func (d *DB) Get(key []byte) ([]byte, io.Closer, error) { return nil, nil, nil }
func (d *DB) NewIter(o *IterOptions) (*Iterator, error) { return nil, nil }

type IterOptions struct{}

type Iterator struct{}

func (i *Iterator) First() bool   { return false }
func (i *Iterator) Next() bool    { return false }
func (i *Iterator) Key() []byte   { return nil }
func (i *Iterator) Value() []byte { return nil }
func (i *Iterator) Close() error  { return nil }
