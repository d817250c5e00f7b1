//go:build linux && (amd64 || arm64) && go1.26 && !go1.28 && !purego && !race && !asan && !msan && !delay && !lockdep && !poison && !holds

package sys

// Leaves says whether this build has leaves; see "Leaves" in doc.go.
const Leaves = true

// The way from a goroutine's descriptor to the number of its P, as offsets in the
// runtime's structures. They are the same in Go 1.26.8 and 1.27.3, by the
// debugging information of programs built for linux/amd64 and linux/arm64.
const (
	OffsetM  = 48  // g.m
	OffsetP  = 208 // m.p
	OffsetID = 0   // p.id, 32 bits

	offsetCurG = 184 // m.curg
	offsetPM   = 48  // p.m
)
