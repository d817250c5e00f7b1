// Package pebble keeps what pebble lends.
package pebble

import "github.com/cockroachdb/pebble"

func get(db *pebble.DB, k []byte) ([]byte, error) {
	v, closer, err := db.Get(k)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return v, nil // want `slice returned that is valid only until Close of the closer from DB.Get`
}

func used(db *pebble.DB, k []byte) string {
	v, closer, err := db.Get(k)
	if err != nil {
		return ""
	}
	closer.Close()
	return string(v) // want `slice copied after Close of the closer`
}

func stepped(db *pebble.DB) (string, error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return "", err
	}
	defer it.Close()
	it.First()
	k := it.Key()
	it.Next()
	return string(k), nil // want `slice copied after a step of the iterator`
}

// From here on all is right.

func clones(db *pebble.DB, k []byte) ([]byte, error) {
	v, closer, err := db.Get(k)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

func walks(db *pebble.DB) (n int, err error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		n += len(it.Value()) + int(it.Key()[0])
	}
	return n, it.Close()
}
