//go:build holds && !linux

package sys

import "quiesce/internal/holds"

func init() { holds.SetClock("real time", Nanotime) }
