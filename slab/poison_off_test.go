//go:build !poison && !asan

package slab

// pretendRCU makes an object look as if it had been given to FreeRCU.
func pretendRCU(*cache, uint32) {}

// withoutGuards keeps every object in slabs, for tests that deal in offsets.
func withoutGuards(caches ...*cache) {
	for _, c := range caches {
		c.sampleMade(true)
	}
}

// What the KUnit cases ask of poison builds.
const (
	asanOn  = false
	padding = 0
)

func errorsOf(*cache) int { return 0 }

func guarded(*cache) bool { return false }
