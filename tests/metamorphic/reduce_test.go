package metamorphic

import "slices"

// reduce cuts a program down to a part that still fails: delta debugging
// (Zeller and Hildebrandt). Runs of operations are left out, half of the
// program at first, and single ones in the end, until no single one can be.
func reduce(p program, fails func(program) bool) program {
	for size := max(len(p)/2, 1); ; {
		cut := false
		for from := 0; from < len(p); {
			less := slices.Concat(p[:from], p[min(from+size, len(p)):])
			if fails(less) {
				p, cut = less, true
			} else {
				from += size
			}
		}
		switch {
		case size > 1:
			size /= 2
		case !cut:
			return p
		}
	}
}

// reduceOptions leaves out the options that the failure does not need.
func reduceOptions(o options, fails func(options) bool) options {
	for _, name := range o.names() {
		less := options{}
		for n, v := range o {
			if n != name {
				less[n] = v
			}
		}
		if fails(less) {
			o = less
		}
	}
	return o
}
