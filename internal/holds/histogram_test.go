package holds

import "testing"

func TestBucketsAreInOrderAndSixPercentWide(t *testing.T) {
	for _, ns := range []int64{0, 1, 15, 16, 17, 31, 32, 33, 1000, 49_999, 50_000, 1 << 20, 1<<33 - 1} {
		b := Bucket(ns)
		if from := BucketTime(b); from > ns || ns-from > max(ns/sub, 0) {
			t.Errorf("%d ns are in bucket %d, which begins at %d", ns, b, from)
		}
	}
	for b := 1; b < Buckets; b++ {
		if BucketTime(b) <= BucketTime(b-1) || Bucket(BucketTime(b)) != b {
			t.Errorf("bucket %d begins at %d, the one before at %d", b, BucketTime(b), BucketTime(b-1))
		}
	}
	if Bucket(1<<40) != Buckets-1 || Bucket(-1) != 0 {
		t.Error("times out of range are not in the last and the first bucket")
	}
}
