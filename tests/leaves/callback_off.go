//go:build !cgo

package leaves

// fromC calls fn; there is no C in this build.
func fromC(fn func()) { fn() }
