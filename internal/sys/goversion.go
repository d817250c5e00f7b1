package sys

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// What this package takes from the runtime without a promise of Go's: procPin,
// procUnpin, procyield, nanotime, entersyscallblock, exitsyscall and time's
// resetTimer by linkname, the descriptor of a goroutine (G), and the places of the
// goroutine's number (Goid) and of its P's (leaf_on.go). The tests of the module
// passed with these minor versions of Go 1.
const (
	provedFirst = 26
	provedLast  = 27
)

// careful is true on a version of Go that nothing was proved on. The package then
// avoids what it can: a sleep is an ordinary system call, a goroutine's number is
// read from its trace, and Go is a go statement. Immutable.
var careful = !provedOn(runtime.Version())

// provedOn reports whether version, from runtime.Version, is one that the package
// was proved on: "go1.27.3", and "go1.27rc1" as well.
func provedOn(version string) bool {
	rest, ok := strings.CutPrefix(version, "go1.")
	if !ok {
		return false // a development version, for example
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	minor, err := strconv.Atoi(rest[:end])
	return err == nil && minor >= provedFirst && minor <= provedLast
}

func init() {
	if !careful {
		return
	}
	if why := selfTest(); why != "" {
		fmt.Fprintf(os.Stderr, "quiesce: this program cannot run with %s: %s; use Go 1.%d to 1.%d\n",
			runtime.Version(), why, provedFirst, provedLast)
		os.Exit(2)
	}
	slog.Warn("quiesce: not proved on this version of Go; using the most careful paths",
		"version", runtime.Version(), "proved", fmt.Sprintf("go1.%d to go1.%d", provedFirst, provedLast))
}

// selfTest checks what the package cannot do without, and returns what is
// wrong, or "".
func selfTest() string {
	return checkRuntime(ProcPin, ProcUnpin, G)
}

// checkRuntime checks that a P's number is stable while pinned, and in range,
// and that G is one goroutine's for as long as that lives.
func checkRuntime(pin func() int, unpin func(), g func() uintptr) string {
	for range 100 {
		first, own := pin(), g()
		for range 10 {
			if id := pin(); id != first {
				return "the number of a P changes while a goroutine is pinned to it"
			}
			Pause(10)
			if g() != own {
				return "the descriptor of a goroutine changes"
			}
		}
		for range 11 {
			unpin()
		}
		if first < 0 || first >= runtime.GOMAXPROCS(0) {
			return "the number of a P is out of range"
		}
		other := make(chan uintptr)
		go func() { other <- g() }()
		if own == 0 || <-other == own {
			return "two goroutines have one descriptor"
		}
		runtime.Gosched()
	}
	return ""
}
