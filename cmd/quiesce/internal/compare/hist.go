package compare

import (
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// hist counts durations in ns, right to 1 %. It allocates nothing while it
// counts.
type hist struct {
	h   *hdrhistogram.Histogram
	max int64
}

// histMost is the longest duration that is distinguished from longer ones: 18
// minutes.
const histMost = 1 << 40

func newHist() *hist { return &hist{h: hdrhistogram.New(1, histMost, 2)} }

func (h *hist) add(v int64) {
	h.max = max(h.max, v)
	h.h.RecordValue(min(max(v, 0), histMost)) // in range, so no error
}

// merge adds what o has counted.
func (h *hist) merge(o *hist) {
	h.h.Merge(o.h)
	h.max = max(h.max, o.max)
}

// quantile returns the value that a share q of all does not exceed.
func (h *hist) quantile(q float64) float64 { return float64(h.h.ValueAtQuantile(100 * q)) }

// Bucket is a part of a distribution.
type Bucket struct {
	NS    int64  `json:"ns"` // and above, to the next bucket
	Count uint64 `json:"count"`
}

// doublings sums up to powers of two, for charts.
func (h *hist) doublings() (out []Bucket) {
	for _, b := range h.h.Distribution() {
		if b.Count == 0 {
			continue
		}
		v := int64(0)
		if b.From > 0 {
			v = 1 << (bits.Len64(uint64(b.From)) - 1)
		}
		if k := len(out); k > 0 && out[k-1].NS == v {
			out[k-1].Count += uint64(b.Count)
		} else {
			out = append(out, Bucket{v, uint64(b.Count)})
		}
	}
	return out
}
