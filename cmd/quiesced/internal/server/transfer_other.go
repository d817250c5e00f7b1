//go:build !unix

package server

import "os"

// useRaw does nothing: there are no system calls of our own here.
func (c *conn) useRaw() {}

func maskFiles(os.FileMode) (restore func()) { return func() {} }
