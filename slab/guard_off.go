//go:build poison || asan || race

package slab

import (
	"errors"
	"fmt"
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// sampled is what a cache has for SampleGuards: nothing in builds that watch every
// object.
type sampled struct{}

var errNoGuards = fmt.Errorf("slab: builds with -race, -asan or -tags poison have no sampled guard pages: %w", errors.ErrUnsupported)

func sampleGuards(GuardConfig) error { return errNoGuards }

func readGuardStats() GuardStats { return GuardStats{} }

func reportFaults() error { return errNoGuards }

func faultText(uintptr, []uintptr) string { return "" }

func describeGuarded(unsafe.Pointer) string { return "" }

func sampledOwner(unsafe.Pointer) *cache { return nil }

func (*cache) sampleMade(never bool) {}

func (*cache) sampleAlloc(gfp.Flags) unsafe.Pointer { return nil }

func (*cache) sampleFree(unsafe.Pointer, string) bool { return false }

func (*cache) samplesWait() bool { return false }

func (*cache) collectSamplesLocked() rcu.Cookie { return 0 }

func (*cache) freeSamplesLocked() {}

func (*cache) samplesOut() (out, deferred int, bytes int64) { return 0, 0, 0 }

func (*cache) firstSample() unsafe.Pointer { return nil }
