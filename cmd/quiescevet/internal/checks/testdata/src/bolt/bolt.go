// Package bolt keeps what a transaction of bbolt lends.
package bolt

import (
	"encoding/json"

	bolt "go.etcd.io/bbolt"
)

var name = []byte("b")

func get(db *bolt.DB, k []byte) (v []byte, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		v = tx.Bucket(name).Get(k) // want `stored in variable v, which is used after the transaction of DB.View has ended`
		return nil
	})
	return v, err
}

func all(db *bolt.DB) (out [][]byte, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(name).ForEach(func(k, v []byte) error {
			out = append(out, v) // want `stored in variable out, which is used after the transaction of DB.View has ended`
			return nil
		})
	})
	return out, err
}

func keys(db *bolt.DB) map[string][]byte {
	m := map[string][]byte{}
	db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(name).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			m[string(k)] = v // want `stored in variable m, which is used after the transaction of DB.View has ended`
		}
		return nil
	})
	return m
}

func begun(db *bolt.DB, k []byte) []byte {
	tx, err := db.Begin(false)
	if err != nil {
		return nil
	}
	defer tx.Rollback()
	return tx.Bucket(name).Get(k) // want `slice returned that is valid only until Commit or Rollback of the transaction from DB.Begin`
}

// From here on all is right.

func clones(db *bolt.DB, k []byte) (v []byte) {
	db.View(func(tx *bolt.Tx) error {
		v = append(v, tx.Bucket(name).Get(k)...)
		return nil
	})
	return v
}

func decodes(db *bolt.DB, k []byte) (n int, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		return json.Unmarshal(tx.Bucket(name).Get(k), &n)
	})
	return n, err
}

func has(db *bolt.DB, k []byte) bool {
	var v []byte
	db.View(func(tx *bolt.Tx) error {
		v = tx.Bucket(name).Get(k)
		return nil
	})
	return v != nil
}

func commits(db *bolt.DB) error {
	tx, err := db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return tx.Commit()
}

func inTx(tx *bolt.Tx, k []byte) []byte { return tx.Bucket(name).Get(k) }
