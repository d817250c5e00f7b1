// Package sizeclass has the size classes of a slab.Heap with fine classes: package
// slab makes them, and package cache counts with them.
//
// Classes up to Dense bytes are the multiples of 16. Those up to Run are parts of a
// power of two, rounded down to 16: 8/15, 8/14, … 8/8 of it, and from 4 KiB on every
// other one. So a slab of a power of two has no rest, where memcached and jemalloc,
// whose classes rise by a factor or in equal steps, have up to an eighth. Objects
// above Run lie alone in a run of pages; their classes are multiples of a page, eight
// to a doubling.
package sizeclass

import "math/bits"

const (
	Unit  = 16       // all sizes are multiples of it
	Dense = 512      // up to here every one is a class
	Run   = 16 << 10 // above, an object is a run of pages
	Most  = 2 << 20  // the largest class
	Count = dense + 8*doublings

	dense     = Dense / Unit
	doublings = 12       // from Dense to Most
	eights    = 4 << 10  // up to here eight classes a doubling have slabs without a rest
	pageRun   = 32 << 10 // up to here a sixteenth is less than a page
)

// Of returns the class of size bytes, 1 to Most.
func Of(size uintptr) int {
	if size <= Dense {
		return int(size+Unit-1)/Unit - 1
	}
	units := uint32(size+Unit-1) &^ (Unit - 1)
	l := bits.Len32(units - 1)
	top := uint32(1) << l // of the doubling
	var step uint32
	switch {
	case top <= eights:
		step = 15 - 8*top/units // as many as fit into 8 tops
	case top <= Run:
		step = 2*(7-4*top/units) + 1
	default:
		step = (units - 1 - top/2) / (top / 16)
		if top <= pageRun {
			step |= 1
		}
	}
	return dense + (l-10)*8 + int(step)
}

// Size returns the size of the objects of a class.
func Size(class int) uintptr {
	if class < dense {
		return uintptr(class+1) * Unit
	}
	class -= dense
	top, step := uintptr(2*Dense)<<(class>>3), uintptr(class&7)
	if top > Run {
		return top/2 + (step+1)*(top/16)
	}
	return 8 * top / (15 - step) &^ (Unit - 1)
}

// Round returns the size of the class of size bytes, 1 to Most.
func Round(size uintptr) uintptr {
	if size <= Dense {
		return (size + Unit - 1) &^ (Unit - 1)
	}
	return Size(Of(size))
}
