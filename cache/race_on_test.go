//go:build race || poison || asan

package cache

const raceOrPoison = true
