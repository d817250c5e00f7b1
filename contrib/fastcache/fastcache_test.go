package fastcache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	real "github.com/VictoriaMetrics/fastcache"
)

// both makes calls of both caches and compares what they return.
type both struct {
	t    *testing.T
	ours *Cache
	real *real.Cache
}

func newBoth(t *testing.T, maxBytes int) *both {
	b := &both{t, New(maxBytes), real.New(maxBytes)}
	t.Cleanup(func() { b.ours.Reset(); b.real.Reset() })
	return b
}

func (b *both) same(what string, key, ours, real []byte) {
	b.t.Helper()
	if !bytes.Equal(ours, real) || (ours == nil) != (real == nil) {
		b.t.Fatalf("%s of %.40q: %.40q (%d bytes), fastcache %.40q (%d bytes)", what, key, ours, len(ours), real, len(real))
	}
}

func (b *both) get(key []byte) {
	b.t.Helper()
	b.same("Get(nil)", key, b.ours.Get(nil, key), b.real.Get(nil, key))
	b.same("Get(dst)", key, b.ours.Get([]byte("dst"), key), b.real.Get([]byte("dst"), key))
	v1, ok1 := b.ours.HasGet([]byte{}, key)
	v2, ok2 := b.real.HasGet([]byte{}, key)
	b.same("HasGet", key, v1, v2)
	if h1, h2 := b.ours.Has(key), b.real.Has(key); ok1 != ok2 || h1 != h2 {
		b.t.Fatalf("%.40q: HasGet %v, Has %v; fastcache %v, %v", key, ok1, h1, ok2, h2)
	}
}

func (b *both) getBig(key []byte) {
	b.t.Helper()
	b.same("GetBig(nil)", key, b.ours.GetBig(nil, key), b.real.GetBig(nil, key))
	b.same("GetBig(dst)", key, b.ours.GetBig([]byte("dst"), key), b.real.GetBig([]byte("dst"), key))
}

// keyOf returns one of some keys, of all lengths and with all last bytes.
func keyOf(rng *rand.Rand, n int) []byte {
	i := rng.IntN(n)
	key := []byte(fmt.Sprintf("%d %s", i, bytes.Repeat([]byte{'k'}, i%7*30)))
	switch i % 4 {
	case 0:
		key = append(key, byte(i/4)) // tags among them
	case 1:
		key = key[:min(len(key), i%3)] // the empty one
	}
	return key
}

// TestTheSameAnswers makes the same operations on fastcache and here: as long as all
// fits the answers are the same, and so are the figures.
func TestTheSameAnswers(t *testing.T) {
	b := newBoth(t, 1<<30)
	rng := rand.New(rand.NewPCG(1, 2))
	n := 30_000
	if testing.Short() {
		n = 8000
	}
	for i := range n {
		key := keyOf(rng, 2000)
		switch op := rng.IntN(100); {
		case op < 40:
			v := make([]byte, rng.IntN(300))
			if rng.IntN(200) == 0 {
				v = make([]byte, rng.IntN(64<<10-len(key)-4))
			}
			for j := range v {
				v[j] = byte(i + j)
			}
			b.ours.Set(key, v)
			b.real.Set(key, v)
			clear(v) // nobody keeps it
		case op < 50:
			b.ours.Del(key)
			b.real.Del(key)
		default:
			b.get(key)
		}
		clear(key)
	}
	var s1 Stats
	var s2 real.Stats
	b.ours.UpdateStats(&s1)
	b.real.UpdateStats(&s2)
	if s1.GetCalls != s2.GetCalls || s1.SetCalls != s2.SetCalls || s1.Misses != s2.Misses || s1.EntriesCount != s2.EntriesCount || s1.MaxBytesSize < s2.MaxBytesSize {
		t.Errorf("%+v\nfastcache: %+v", s1, s2)
	}
	if s1.BytesSize == 0 || s1.BytesSize > s1.MaxBytesSize {
		t.Errorf("%d bytes of %d", s1.BytesSize, s1.MaxBytesSize)
	}
	b.ours.Reset()
	b.real.Reset()
	b.get([]byte("1"))
	s1.Reset()
	b.ours.UpdateStats(&s1)
	// get looks four times.
	if s1.GetCalls != 4 || s1.Misses != 4 || s1.SetCalls != 0 || s1.EntriesCount != 0 || s1.BytesSize > 1<<20 {
		t.Errorf("after Reset: %+v", s1)
	}
}

func bigValue(seed, n int) []byte {
	v := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(seed), 3))
	for i := 0; i < n; i += 1 + n/1000 {
		v[i] = byte(rng.Uint32())
	}
	return v
}

func TestTheSameAnswersToBigValues(t *testing.T) {
	b := newBoth(t, 256<<20)
	sizes := []int{0, 1, 15, 16, 17, 300, 65_000, 70_000, partSize - 1, partSize, partSize + 1, 2 * partSize, 2_500_000}
	if testing.Short() {
		sizes = []int{0, 16, 300, 70_000, partSize}
	}
	for i, n := range sizes {
		key := []byte(fmt.Sprintf("big %d", n))
		b.getBig(key)
		v := bigValue(i, n)
		b.ours.SetBig(key, v)
		b.real.SetBig(key, v)
		b.getBig(key)
		// Another, of another form.
		v = bigValue(i+100, max(2_500_000-n, 0))
		b.ours.SetBig(key, v)
		b.real.SetBig(key, v)
		b.getBig(key)
		if i%2 == 0 {
			b.ours.Del(key)
			b.real.Del(key)
			b.getBig(key)
		}
	}
	long := make([]byte, 64<<10)
	b.ours.SetBig(long, []byte("v"))
	b.real.SetBig(long, []byte("v"))
	b.getBig(long)
	b.ours.Set([]byte("small"), []byte("v"))
	b.real.Set([]byte("small"), []byte("v"))
	b.getBig([]byte("small"))
	var s1 Stats
	var s2 real.Stats
	b.ours.UpdateStats(&s1)
	b.real.UpdateStats(&s2)
	if s1.GetBigCalls != s2.GetBigCalls || s1.SetBigCalls != s2.SetBigCalls || s1.TooBigKeyErrors != s2.TooBigKeyErrors {
		t.Errorf("%+v\nfastcache: %+v", s1.BigStats, s2.BigStats)
	}
}

// What has been replaced or deleted leaves no parts.
func TestPartsGoWithTheirValue(t *testing.T) {
	c := New(64 << 20)
	defer c.Reset()
	k := []byte("k")
	entries := func(want uint64) {
		t.Helper()
		var s Stats
		c.UpdateStats(&s)
		if s.EntriesCount != want {
			t.Errorf("%d entries, want %d", s.EntriesCount, want)
		}
	}
	c.SetBig(k, make([]byte, 3*partSize))
	entries(4)
	c.SetBig(k, make([]byte, 2*partSize))
	entries(3)
	c.SetBig(k, make([]byte, 10))
	entries(1)
	c.SetBig(k, make([]byte, 2*partSize))
	c.Set(k, []byte("plain"))
	entries(4)
	if got := string(c.Get(nil, k)); got != "plain" || len(c.GetBig(nil, k)) != 2*partSize {
		t.Errorf("Get: %q, GetBig: %d bytes", got, len(c.GetBig(nil, k)))
	}
	c.Del(k)
	entries(0)
}

func TestWhatIsTooLargeIsNotStored(t *testing.T) {
	b := newBoth(t, 1)
	for _, n := range []int{64<<10 - 6, 64<<10 - 5, 64 << 10, 70 << 10} { // with a key of 1 and 4 for lengths
		b.ours.Set([]byte("k"), make([]byte, n))
		b.real.Set([]byte("k"), make([]byte, n))
		b.get([]byte("k"))
		b.ours.Del([]byte("k"))
		b.real.Del([]byte("k"))
	}
	b.ours.Set([]byte("k"), []byte("old"))
	b.ours.Set([]byte("k"), make([]byte, 70<<10))
	if v, ok := b.ours.HasGet(nil, []byte("k")); ok {
		t.Errorf("the old value is there: %q", v)
	}
	b.ours.Set(make([]byte, 70<<10), nil)
	b.real.Set(make([]byte, 70<<10), nil)
	b.get(make([]byte, 70<<10))
}

func TestMoreThanFitsStaysBelowTheLimit(t *testing.T) {
	c := New(1) // 32 MiB
	defer c.Reset()
	v := make([]byte, 10_000)
	for i := range 4000 {
		k := []byte(fmt.Sprint(i))
		c.Set(k, v)
		if !c.Has(k) {
			t.Fatalf("key %d is not there after Set", i)
		}
	}
	var s Stats
	c.UpdateStats(&s)
	if s.BytesSize > leastBytes || s.EntriesCount < 2000 || s.EntriesCount > 3200 {
		t.Errorf("%+v", s)
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "cache")
	c := New(40 << 20)
	defer c.Reset()
	key := func(i int) []byte { return []byte{byte(i), byte(i / 7), byte(i)} }
	for i := range 256 {
		c.Set(key(i), []byte(fmt.Sprint(i)))
	}
	c.SetBig([]byte("big"), bigValue(1, 3*partSize))
	// A directory that fastcache has made is replaced.
	old := real.New(40 << 20)
	defer old.Reset()
	if err := old.SaveToFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFromFile(path); err == nil {
		t.Error("a directory of fastcache's was loaded")
	}
	for range 2 {
		if err := c.SaveToFileConcurrent(path, 4); err != nil {
			t.Fatal(err)
		}
	}
	check := func(c *Cache, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Reset()
		for i := range 256 {
			if got := string(c.Get(nil, key(i))); got != fmt.Sprint(i) {
				t.Fatalf("key %d: %q", i, got)
			}
		}
		if !bytes.Equal(c.GetBig(nil, []byte("big")), bigValue(1, 3*partSize)) || !c.Has([]byte("big")) {
			t.Error("the big value differs")
		}
		var s Stats
		c.UpdateStats(&s)
		if s.MaxBytesSize != 40<<20 || s.SetCalls != 0 || s.EntriesCount != 256+4 {
			t.Errorf("%+v", s)
		}
	}
	check(LoadFromFile(path))
	check(LoadFromFileMaxBytes(path, 40<<20))
	check(LoadFromFileOrNew(path, 40<<20), nil)
	if _, err := LoadFromFileMaxBytes(path, 41<<20); err == nil {
		t.Error("no error for another size")
	}
	empty := func(what string) {
		t.Helper()
		c := LoadFromFileOrNew(path, 33<<20)
		defer c.Reset()
		var s Stats
		if c.UpdateStats(&s); s.EntriesCount != 0 || s.MaxBytesSize != 33<<20 {
			t.Errorf("%s: %+v", what, s)
		}
	}
	empty("another size")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{nil, whole[:10], whole[:len(whole)-1], append(bytes.Clone(whole[:5000]), append([]byte{whole[5000] ^ 1}, whole[5001:]...)...)} {
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadFromFile(path); err == nil {
			t.Errorf("no error for a file of %d bytes", len(torn))
		}
	}
	empty("a torn file")
	if _, err := LoadFromFile(filepath.Join(dir, "none")); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("no such file: %v", err)
	}
	// A directory that is nobody's stays.
	if err := c.SaveToFile(dir); err == nil {
		t.Error("no error for a directory")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "fastcache.tmp.*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestManyAtATime(t *testing.T) {
	c := New(1)
	defer c.Reset()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				k, v := fmt.Appendf(nil, "%d", i%500), fmt.Appendf(nil, "value %d", i%500)
				c.Set(k, v)
				if got := c.Get(nil, k); got != nil && !bytes.Equal(got, v) {
					t.Errorf("key %s: %q", k, got)
				}
				switch {
				case i%100 == 0:
					c.SetBig(k, bytes.Repeat(v, 1000))
				case i%100 == 50:
					if got := c.GetBig(nil, k); got != nil && !bytes.Equal(got, bytes.Repeat(v, 1000)) {
						t.Errorf("key %s: %d bytes that are not its value", k, len(got))
					}
				case i%7 == 0:
					c.Del(k)
				case i == 1000 && g == 0:
					c.Reset()
				}
			}
		})
	}
	wg.Wait()
}

func TestNothingIsAllocatedOnTheGoHeap(t *testing.T) {
	c := New(1)
	defer c.Reset()
	v, dst := make([]byte, 100), make([]byte, 0, 200)
	for _, n := range []int{10, 40, 100} {
		k := bytes.Repeat([]byte{0xff}, n)
		c.Set(k, v)
		for what, fn := range map[string]func(){
			"Set": func() { c.Set(k, v) },
			"Get": func() { dst = c.Get(dst[:0], k) },
			"Has": func() { c.Has(k) },
			"Del": func() { c.Del([]byte("other")) },
		} {
			if a := testing.AllocsPerRun(200, fn); a != 0 {
				t.Errorf("%s of a key of %d bytes: %v allocations", what, n, a)
			}
		}
	}
}

func TestBadSizesPanic(t *testing.T) {
	for _, n := range []int{0, -1, 1 << 40} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) did not panic", n)
				}
			}()
			New(n)
		}()
	}
}
