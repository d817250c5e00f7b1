//go:build !unix

package main

import "os"

// saveSignals is empty: there is no signal for it here.
var saveSignals []os.Signal

func isSave(os.Signal) bool { return false }
