//go:build asan

package sys

const asanOffset = 1 << 36
