package sys

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func TestProvedVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"go1.25.9":                false,
		"go1.26":                  true,
		"go1.26.0":                true,
		"go1.26rc1":               true,
		"go1.27.3":                true,
		"go1.27-x":                true,
		"go1.28":                  false,
		"go1.100":                 false,
		"go1.2":                   false,
		"go1.":                    false,
		"go2.26":                  false,
		"devel go1.28-abcdef Tue": false,
		"":                        false,
	} {
		if got := provedOn(version); got != want {
			t.Errorf("provedOn(%q) = %v, want %v", version, got, want)
		}
	}
	if careful == provedOn(runtime.Version()) {
		t.Errorf("careful = %v with %s", careful, runtime.Version())
	}
}

func TestTheSelfTestPassesHere(t *testing.T) {
	if why := selfTest(); why != "" {
		t.Error(why)
	}
}

func TestTheSelfTestRefusesAnotherRuntime(t *testing.T) {
	n := 0
	counting := func() int { ProcPin(); n++; return n }
	own := func() uintptr { return 42 }
	for _, c := range []struct {
		pin  func() int
		g    func() uintptr
		want string
	}{
		{counting, G, "the number of a P changes"},
		{func() int { ProcPin(); return -1 }, G, "out of range"},
		{func() int { ProcPin(); return 1 << 20 }, G, "out of range"},
		{ProcPin, own, "two goroutines"},
		{ProcPin, func() uintptr { n++; return uintptr(n) }, "descriptor of a goroutine changes"},
	} {
		pins := 0
		pin := func() int { pins++; return c.pin() }
		unpin := func() { pins--; ProcUnpin() }
		why := checkRuntime(pin, unpin, c.g)
		for ; pins > 0; pins-- {
			ProcUnpin()
		}
		if !strings.Contains(why, c.want) {
			t.Errorf("%q, want %q", why, c.want)
		}
	}
}

// What an unproved version uses works on every one.
func TestTheCarefulPaths(t *testing.T) {
	old, oldAt := careful, goidAt
	careful = true
	defer func() { careful, goidAt = old, oldAt }()
	for start := Nanotime(); Nanotime()-start < 1_000_000; {
		Sleep(1_000_000)
	}
	var ran atomic.Bool
	Go(func() { ran.Store(true) })
	within(t, "start", ran.Load)
	goidAt = 0
	if at := findGoid(); at != 0 {
		t.Errorf("findGoid() = %d on an unproved version, want 0", at)
	}
	if got, want := Goid(), goidFromTrace(); got != want {
		t.Errorf("Goid() = %d, the trace says %d", got, want)
	}
}
