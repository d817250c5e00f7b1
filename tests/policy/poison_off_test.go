//go:build !poison && !asan

package policy

const poisoned = false
