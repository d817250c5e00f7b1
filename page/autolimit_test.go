package page

import (
	"math"
	"testing"
)

func TestAutoLimitIsThreeQuartersOfWhatGoLeaves(t *testing.T) {
	for _, c := range []struct{ memory, goLimit, want int64 }{
		{0, math.MaxInt64, 0},
		{1 << 30, math.MaxInt64, 768 << 20},
		{1 << 30, 512 << 20, 384 << 20},
		{1 << 30, 2 << 30, 128 << 20}, // GOMEMLIMIT is more than there is
		{1 << 40, math.MaxInt64, maxReserve},
	} {
		if got := autoLimit(c.memory, c.goLimit); got != c.want {
			t.Errorf("%d bytes, GOMEMLIMIT %d: %d, want %d", c.memory, c.goLimit, got, c.want)
		}
	}
	a := newTest(t, Config{Limit: AutoLimit()})
	if a.limit != AutoLimit() {
		t.Errorf("limit %d", a.limit)
	}
}
