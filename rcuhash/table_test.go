package rcuhash

import (
	"fmt"
	"testing"
)

// The blocks of a table follow each other, and have as many buckets as it.
func TestBlocksAreTheWholeTable(t *testing.T) {
	for _, n := range []uint64{smallBuckets / 2, runBuckets, 2 * runBuckets, blockBuckets, 64 * blockBuckets} {
		t.Run(fmt.Sprint(2*n), func(t *testing.T) {
			tab := table{n: n, dir: new(core).newTable(n, n, 0).dir}
			all := uint64(0)
			for all < 2*n {
				first, buckets := tab.blockOf(all)
				if first != all/runBuckets {
					t.Fatalf("bucket %d is the first of a block, which begins with run %d", all, first)
				}
				for i := all; i < all+uint64(buckets); i++ {
					if f, b := tab.blockOf(i); f != first || b != buckets {
						t.Fatalf("bucket %d is in the block of %d at run %d, and not of %d at %d", i, b, f, buckets, first)
					}
				}
				all += uint64(buckets)
			}
			if all != 2*n || len(tab.dir) != int(max(all/runBuckets, 1)) {
				t.Errorf("the blocks have %d buckets, the directory %d runs", all, len(tab.dir))
			}
		})
	}
}
