//go:build !linux

package page

import "testing"

func residentNow(t testing.TB, a *Allocator) int64 { return a.Stats().Resident }
