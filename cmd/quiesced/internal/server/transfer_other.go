//go:build !unix

package server

// useRaw does nothing: there are no system calls of our own here.
func (c *conn) useRaw() {}
