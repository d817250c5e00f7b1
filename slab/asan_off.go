//go:build poison && !asan

package slab

// asanOn: ASan sees every access.
const asanOn = false
