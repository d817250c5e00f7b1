package memlimit

import (
	"os"
	"testing"
)

// Each tree is what a system of the kind shows, cut down to the files that are
// read.
func TestTheSmallestLimitOfAllAncestorsHolds(t *testing.T) {
	for tree, want := range map[string]int64{
		"v2-service":     1536 << 20,     // memory.high of the slice above
		"v2-container":   512 << 20,      // the root of the namespace has the container's
		"v2-unlimited":   32614508 << 10, // the machine
		"v1-docker":      268435456,
		"v1-host-path":   1 << 30, // the path is the host's, the mount the container's
		"hybrid":         805306368,
		"no-cgroups":     8052000 << 10,
		"nothing-at-all": 0,
	} {
		if got := Read(os.DirFS("testdata/" + tree)); got != want {
			t.Errorf("%s: %d, want %d", tree, got, want)
		}
	}
}
