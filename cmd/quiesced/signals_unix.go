//go:build unix

package main

import (
	"os"
	"syscall"
)

// saveSignals make the server write its state.
var saveSignals = []os.Signal{syscall.SIGUSR1}

func isSave(s os.Signal) bool { return s == syscall.SIGUSR1 }
