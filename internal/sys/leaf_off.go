//go:build !linux || (!amd64 && !arm64) || !go1.26 || go1.28 || purego || race || asan || msan || delay || lockdep || poison || holds

package sys

// Leaves says whether this build has leaves; see "Leaves" in doc.go.
const Leaves = false

// Nothing uses them here.
const OffsetM, OffsetP, OffsetID, offsetCurG, offsetPM = 0, 0, 0, 0, 0
