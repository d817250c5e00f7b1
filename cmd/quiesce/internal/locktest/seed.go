package locktest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/slab"
)

// Seed follows the mail that this project implements (P. McKenney, "Raw
// spinlocks and memory allocation"), and writes what happens at each step: why
// plain flags can't allocate an array for kfree_rcu under a raw spinlock, and what
// gfp.NoLocks changes. It returns an error if anything is not as the mail has it.
// Nothing else may use lockdep during the call.
func Seed(w io.Writer) error {
	lockdep.Enable()
	s := &seed{w: w}
	var err error
	reports, panicked := observe(func() { err = s.setUp() })
	if err == nil && panicked != "" {
		err = errors.New(panicked)
	}
	if err != nil {
		return err
	}
	if len(reports) > 0 {
		return fmt.Errorf("lockdep reports the set-up:\n%s", reports[0].Text)
	}
	return errors.Join(s.story(), s.objects.Close(), s.pages.Close())
}

// object is what kfree_rcu is called for.
type object struct{ _ [64]byte }

type seed struct {
	w       io.Writer
	pages   *page.Allocator
	objects *slab.Cache[object]
	old     [seedObjects]*object // unlinked, to be freed
	raw     lock.Raw             // held by the caller of kfree_rcu
	taken   []unsafe.Pointer
}

const seedLimit = 8 << 20

// seedObjects are more than fit into the arrays that the cache has.
const seedObjects = 8192

func (s *seed) setUp() (err error) {
	if s.pages, err = page.New(page.Config{Name: "seed", Limit: seedLimit, Reserve: 16 << 20}); err != nil {
		return err
	}
	if s.objects, err = slab.NewCache[object]("seed", slab.WithAllocator(s.pages)); err != nil {
		return err
	}
	s.raw.Init("raw")
	s.taken = make([]unsafe.Pointer, 0, seedLimit/page.Size) // room for all there are
	if s.objects.AllocBulk(gfp.Kernel, s.old[:]) != seedObjects {
		return errors.New("no memory")
	}
	return nil
}

// say writes a paragraph.
func (s *seed) say(format string, args ...any) {
	fmt.Fprintf(s.w, format+"\n", args...)
}

// take allocates pages until it gets none, and reports whether it got any.
func (s *seed) take(f gfp.Flags) (any bool) {
	for len(s.taken) < cap(s.taken) {
		p := s.pages.Alloc(0, f|gfp.NoWarn)
		if p == nil {
			break
		}
		s.taken, any = append(s.taken, p), true
	}
	return any
}

// exhaust takes what the zone has, so that nobody refills the Ps' lists. The
// goroutine that does so after a refusal may have pages in hand, for less than
// a millisecond.
func (s *seed) exhaust() {
	for s.take(gfp.Atomic) {
		time.Sleep(time.Millisecond)
	}
}

// exhaustLists empties the lists of the P that the caller is pinned to: from
// then on an allocation needs the zone's lock.
func (s *seed) exhaustLists() { s.take(gfp.Atomic | gfp.NoLocks) }

func (s *seed) release() {
	for _, p := range s.taken {
		s.pages.Free(p, 0)
	}
	s.taken = s.taken[:0]
}

// kfreeRCU asks for an array of 512 pointers as the mail's kfree_rcu does, with
// a raw spinlock held and the caches exhausted, and reports whether it got one.
func (s *seed) kfreeRCU(f gfp.Flags) (got bool) {
	s.exhaust()
	s.raw.Lock()
	s.exhaustLists()
	array := s.pages.Alloc(0, f|gfp.NoWarn)
	if array != nil {
		s.pages.Free(array, 0)
	}
	s.raw.Unlock()
	return array != nil
}

func (s *seed) story() error {
	s.say(`"Raw spinlocks and memory allocation" (P. McKenney, LKML, July 2020), for real

kfree_rcu() has chained the objects that wait for a grace period: a cache miss
for each when the list, cold by then, is walked. Arrays of pointers have no such
misses. An array is a page, and the page comes from the allocator.

1. kfree_rcu() under a raw spinlock, the allocator's caches exhausted
`)
	reports, panicked := observe(func() { s.kfreeRCU(gfp.NoWait) })
	s.say(`   lock.Raw held; %d pages later this P's lists are empty, and the zone is.
   page.Alloc(0, gfp.NoWait): the lists are empty, so it takes the zone's lock,
   a normal spinlock, which on -rt (preempt_rt=1) may sleep where nothing may.`, len(s.taken))
	s.release()
	switch {
	case panicked != "":
		return errors.New(panicked)
	case !proves && len(reports) == 0:
		s.say(`
   With prove_raw_lock_nesting=0 lockdep assumes that spinlocks spin, so this is
   right: no report. On -rt it is "scheduling while atomic" anyway.`)
	case len(reports) != 1 || reports[0].Kind != wait || !proves:
		return fmt.Errorf("%d reports, and not the one of an invalid wait context%s", len(reports), texts(reports))
	case !slices.Equal(reports[0].Classes, []string{"page.zone", "raw"}) ||
		!strings.Contains(reports[0].Text, "-{3:3}") || !strings.Contains(reports[0].Text, "(raw){+.+.}-{2:2}"):
		return fmt.Errorf("not page.zone {3:3} under raw {2:2}, but: %s", reports[0].Text)
	default:
		s.say("   lockdep reports it without having to wait for a sleep:\n%s", narrow(reports[0].Text))
	}

	s.say(`
"So, may we add a GFP_ flag that will cause kmalloc() and friends to return NULL
when they would otherwise need to acquire their non-raw spinlock?"

2. The same with gfp.NoLocks
`)
	got := false
	reports, panicked = observe(func() { got = s.kfreeRCU(gfp.NoWait | gfp.NoLocks) })
	s.release()
	switch {
	case panicked != "":
		return errors.New(panicked)
	case len(reports) != 0 || got:
		return fmt.Errorf("an array with the caches exhausted: %v; %d reports%s", got, len(reports), texts(reports))
	}
	s.say(`   page.Alloc(0, gfp.NoWait|gfp.NoLocks): nil, and lockdep is silent.

"... in that rare case, kfree_rcu() just falls back to the old approach, taking
a few extra cache misses, but making good (if expensive) forward progress."

3. slab.Cache.FreeRCU, the caches exhausted
`)
	reports, panicked = observe(func() {
		s.exhaust()
		s.raw.Lock()
		s.exhaustLists()
		for _, p := range s.old {
			s.objects.FreeRCU(p)
		}
		s.raw.Unlock()
	})
	queued := s.objects.Stats()
	s.release()
	s.objects.Barrier()
	done := s.objects.Stats()
	switch {
	case panicked != "":
		return errors.New(panicked)
	case len(reports) != 0:
		return fmt.Errorf("FreeRCU is reported%s", texts(reports))
	case queued.Fallback == 0 || done.FallbackFreed != done.Fallback || done.RCUArrays+done.Fallback != seedObjects:
		return fmt.Errorf("of %d objects %d went to the fallback and %d into arrays;\n%d of the fallback were reclaimed",
			seedObjects, done.Fallback, done.RCUArrays, done.FallbackFreed)
	}
	s.say(`   lock.Raw held: there is no array for these objects, and so they are
   on the fallback chain: %d of %d.
   Its links are in the slab's metadata: no memory was needed, no lock was taken
   and lockdep is silent. After the grace period: %d of %d reclaimed.`, queued.Fallback, seedObjects, done.FallbackFreed, queued.Fallback)
	return nil
}

// narrow breaks the lines of a report that are wide with an address in them.
func narrow(report string) string {
	return strings.ReplaceAll(strings.TrimRight(report, "\n"), "}, at: ", "},\n    at: ")
}

func texts(reports []*lockdep.Report) string {
	var b strings.Builder
	for _, r := range reports {
		b.WriteString("\n" + r.Text)
	}
	return b.String()
}
