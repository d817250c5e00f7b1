//go:build asan

package sys

const asanOffset = 0x7fff8000
