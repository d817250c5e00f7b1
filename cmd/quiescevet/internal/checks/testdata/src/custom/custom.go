// Package custom uses a source that quiescevet.json names.
package custom

import "vettest/custom/pool"

func wrong() byte {
	l := pool.Take()
	b := l.Bytes()
	l.Give()
	return b[0] // want `slice used after Give of the lease that keeps it valid`
}

func right() byte {
	l := pool.Take()
	defer l.Give()
	return l.Bytes()[0]
}
