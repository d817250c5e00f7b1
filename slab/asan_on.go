//go:build asan

package slab

// asanOn: ASan sees every access; see sys.AsanPoison.
const asanOn = true
