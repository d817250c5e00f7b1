package kit

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Count returns n with thousands separators: 1,234,567.
func Count[N int | int64 | uint64](n N) string { return humanize.Comma(int64(n)) }

// SI returns v with three digits and a prefix: 8.99 M.
func SI(v float64) string {
	v, prefix := humanize.ComputeSI(v)
	digits := 2
	if v >= 100 {
		digits = 0
	} else if v >= 10 {
		digits = 1
	}
	if prefix == "" {
		return fmt.Sprintf("%.*f", digits, v)
	}
	return fmt.Sprintf("%.*f %s", digits, v, prefix)
}
