//go:build !race

package heapprof

func init() { rate.Store(DefaultRate) }
