package main

import (
	"runtime"
	"strings"
	"time"
)

// The slab allocator and kfree_rcu.
var slabMutants = []mutant{
	// Cookies and grace periods.
	{
		name:   "cookie-at-install",
		breaks: "an object waits for a grace period that began after its unlinking",
		file:   "slab/free_slow.go", in: "cache.closeSheaf",
		edits: []edit{
			{before: `m.cookie = cookie`, after: ``},
			{in: "cache.freeRCUSlow", before: `m.obj[0] = off`, after: "m.cookie = rcu.GetState()\nm.obj[0] = off"},
		},
		killer: killer{pkg: "slab", tests: "TestTheCookieBelongsToTheLastObjectOfASheaf"},
	},
	{
		name:   "sheaf-one-grace-period-early",
		breaks: "nothing is reclaimed that a reader may still see",
		file:   "slab/reclaim.go", in: "waitFor",
		edits:  []edit{{before: `default: rcu.CondSynchronize(youngest)`, after: `default: rcu.CondSynchronize(youngest - 2)`}},
		killer: killer{pkg: "slab", tests: "TestNothingIsReclaimedBeforeItsReadersLeft"},
	},
	{
		name:   "pass-waits-for-the-oldest-sheaf",
		breaks: "a pass waits for the youngest cookie of its sheaves",
		file:   "slab/reclaim.go", in: "cache.collectLocked",
		edits:  []edit{{before: `b.youngest = max(b.youngest, c.sheaf(n).cookie)`, after: `b.youngest = c.sheaf(n).cookie`}},
		killer: killer{pkg: "slab", tests: "TestAPassWaitsForTheYoungestOfItsSheaves"},
	},
	{
		name:   "chain-cookie-before-the-bits",
		breaks: "an object on the chain waits for a grace period that begins later",
		file:   "slab/reclaim.go", in: "cache.collectLocked",
		edits: []edit{
			{before: `b.slabs = c.takeChainLocked()`, after: "early := rcu.GetState()\nb.slabs = c.takeChainLocked()"},
			{before: `b.youngest = rcu.GetState()`, after: `b.youngest = max(b.youngest, early)`},
		},
		killer: killer{pkg: "slab", tests: "TestChainedWhileTheChainIsTakenWaitsForItsOwnGracePeriod"},
	},
	{
		name:   "link-to-a-guarded-object-reported",
		breaks: "no build reports a link to memory of the package",
		file:   "slab/poison_guard.go", in: "newGuards",
		edits: []edit{
			{before: `pages.AddRange(mem, guardSlots*2*g.page)`, after: ``},
			{before: `"quiesce/internal/pages"`, after: ``, in: "file"},
		},
		killer: killer{pkg: "slab", flags: []string{"-tags=poison"}, tests: "TestALinkToMemoryOfThePackageIsSilent"},
	},
	{
		name:   "compare-and-swap-of-a-link-unchecked",
		breaks: "a build with checks reports a link to Go's memory",
		file:   "slab/pointer.go", in: "Pointer.CompareAndSwap",
		edits:  []edit{{before: `if linksChecked`, after: `if false`}},
		killer: killer{pkg: "slab", flags: []string{"-tags=lockdep"}, tests: "TestALinkToGoMemoryFailsTheTestRunOfABuildWithChecks"},
	},
	// Barrier, Close, and what they have to find.
	{
		name:   "barrier-does-not-drain",
		breaks: "Barrier waits for what is in sheaves that are not full",
		file:   "slab/cache.go", in: "barrier",
		edits:  []edit{{before: `drain(cs)`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestEveryObjectIsReclaimedExactlyOnce"},
	},
	{
		name:   "close-drops-spare-sheaves",
		breaks: "Close strands no memory",
		file:   "slab/revoke.go", in: "grabFree",
		edits:  []edit{{before: `c.grab(&s.spare)`, after: `atomic.SwapUint32(&s.spare, 0)`}},
		killer: killer{pkg: "slab", tests: "TestAnObjectHasOneOwner"},
	},
	{
		name:   "close-does-not-wait-for-workers",
		breaks: "Close waits for the cache's goroutines",
		file:   "slab/cache.go", in: "cache.close",
		edits:  []edit{{before: `for c.workers.Load() > 0`, after: `for false`}},
		killer: killer{pkg: "slab", tests: "TestCloseWaitsForTheCachesGoroutines"},
	},
	{
		name:   "sheaves-of-gone-Ps-ignored",
		breaks: "what is in the sheaves of a P that is gone is found",
		file:   "slab/revoke.go", in: "revokeLocked",
		edits: []edit{
			{before: `used := c.slots.Used()`, after: `used := min(c.slots.Used(), runtime.GOMAXPROCS(0))`},
			{before: `"sync/atomic"`, after: "\"runtime\"\n\"sync/atomic\"", in: "file"},
		},
		killer: killer{pkg: "slab", tests: "TestATakerFindsTheSheafOfAPThatIsGone"},
	},
	{
		name:   "long-chain-cut-off",
		breaks: "Barrier waits for the whole fallback chain",
		file:   "slab/reclaim.go", in: "cache.reclaimOnce",
		edits:  []edit{{before: `more = c.passLocked(expedited)`, after: "c.passLocked(expedited)\nmore, c.chainRest = false, 0"}},
		killer: killer{pkg: "slab", tests: "TestALongChainIsFreedByOneBarrier"},
	},
	{
		name:   "barrier-does-not-wait-for-helpers",
		breaks: "Barrier waits for a sheaf that FreeRCU or the service has in hand",
		file:   "slab/reclaim.go", in: "cache.reclaimOnce",
		edits:  []edit{{before: `c.awaitHelpers()`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestBarrierWaitsForAHelper"},
	},
	{
		name:   "helper-ignores-the-grace-period",
		breaks: "a helper reclaims nothing that a reader may still see",
		file:   "slab/help.go", in: "cache.tryRipen",
		edits:  []edit{{before: `case rcu.Poll(b.youngest):`, after: `case true:`}},
		killer: killer{pkg: "slab", tests: "TestAHelperWaitsForNothingAndReclaimsNothingEarly"},
	},
	{
		name:   "helper-leaves-without-notice",
		breaks: "the service finds what a helper collected",
		file:   "slab/help.go", in: "cache.tryRipen",
		edits:  []edit{{before: `c.unfinished.Store(true)`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestTheServiceFindsWhatHelpersLeft"},
	},
	{
		name:   "nobody-helps",
		breaks: "pending frees are bounded while the service is held up",
		file:   "slab/service.go", in: "cache.sheafClosed",
		edits:  []edit{{before: `c.help()`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestPendingFreesAreBoundedWhileTheServiceIsHeldUp"},
	},
	{
		name:   "helper-keeps-its-P",
		breaks: "a flood lets the grace period run that it waits for",
		file:   "slab/help.go", in: "yieldUntil",
		edits:  []edit{{before: `runtime.Gosched()`, after: `runtime.NumGoroutine()`}},
		killer: killer{pkg: "slab", tests: "TestAFloodLetsItsGracePeriodsRun"},
	},
	{
		name:   "reclaim-worker-without-second-look",
		breaks: "a sheaf that comes when the worker ends is not forgotten",
		file:   "slab/turn.go", in: "cache.letGoOfReclaim",
		edits:  []edit{{before: `if c.hasWork() && !c.closed.Load() && c.reclaiming.CompareAndSwap(false, true) { return false }`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestASheafThatComesWhenTheReclaimWorkerEndsIsReclaimed"},
	},
	{
		name:   "drain-without-second-look",
		breaks: "a sheaf that is begun when the drain ends is drained",
		file:   "slab/turn.go", in: "cache.letGoOfDrain",
		edits:  []edit{{before: `if c.anyRCU() && c.draining.CompareAndSwap(false, true) { return false }`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestASheafThatIsBegunWhenTheDrainEndsIsDrained"},
	},
	{
		name:   "drain-without-end",
		breaks: "nothing runs when nothing is pending",
		file:   "slab/turn.go", in: "cache.letGoOfDrain",
		edits:  []edit{{before: `if c.anyRCU() && c.draining.CompareAndSwap(false, true) { return false }`, after: `if c.draining.CompareAndSwap(false, true) { return false }`}},
		killer: killer{pkg: "slab", tests: "TestNothingRunsWhenNothingIsPending"},
	},
	{
		name:   "service-without-second-look",
		breaks: "a turn that is wanted when the service ends is made",
		file:   "slab/service.go", in: "resume",
		edits:  []edit{{before: `again := service.hurry.Load() && service.running.CompareAndSwap(false, true)`, after: `again := false`}},
		killer: killer{pkg: "slab", tests: "TestATurnThatIsWantedWhenTheServiceEndsIsMade"},
	},
	{
		name:   "chain-rest-forgotten",
		breaks: "the service frees a chain of more than a batch",
		file:   "slab/turn.go", in: "reclaimWork",
		edits:  []edit{{before: `more = c.finishLocked()`, after: `c.finishLocked()`}},
		killer: killer{pkg: "slab", tests: "TestALongChainIsFreedByTheService"},
	},
	{
		name:   "barrier-takes-what-the-service-left-for-all",
		breaks: "Barrier waits for what came after the service took a chain",
		file:   "slab/reclaim.go", in: "cache.reclaimOnce",
		edits:  []edit{{before: `left = c.collected.youngest != 0 || c.chainRest != 0`, after: `left = false`}},
		killer: killer{pkg: "slab", tests: "TestBarrierWaitsForWhatCameAfterTheServiceCollected"},
	},
	{
		name:   "drain-relies-on-a-slow-caller",
		breaks: "a drain finds what was freed before",
		file:   "slab/revoke.go", in: "drain",
		edits:  []edit{{before: `if c.drainedIn <= before {`, after: `if c.drainedIn > before {`}},
		killer: killer{pkg: "slab", tests: "TestADrainDoesNotRelyOnASlowCaller"},
	},
	// Revoking.
	{
		name:   "FreeRCU-without-busy-mark",
		breaks: "a sheaf has one owner while it is taken from its P",
		file:   "slab/fast.go", in: "cache.freeRCU",
		edits:  []edit{{before: `s.busy = 1`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestATakerAndFreeRCUNeverShareASheaf", flags: pinnedPath, alone: true, count: 5, dies: "quiesce/slab:"},
	},
	{
		name:   "leaf-puts-without-busy-mark",
		breaks: "a sheaf has one owner while it is taken from its P",
		file:   "slab/leaf_amd64.s",
		edits:  []edit{{before: "\tMOVL $1, const_slotBusy(AX); \\\n", after: ""}},
		killer: killer{pkg: "slab", tests: "TestATakerAndFreeRCUNeverShareASheaf", alone: true, count: 5, dies: "quiesce/slab:"},
	},
	{
		name:   "leaf-takes-without-busy-mark",
		breaks: "an object has one owner while sheaves are taken from their P",
		file:   "slab/leaf_amd64.s",
		edits:  []edit{{before: "\tMOVL $1, const_slotBusy(AX) // ord:slot-busy\n", after: ""}},
		killer: killer{pkg: "slab", tests: "TestATakerAndAllocNeverShareASheaf", alone: true, count: 5, dies: "quiesce/slab:"},
	},
	{
		name:   "Alloc-without-busy-mark",
		breaks: "an object has one owner while sheaves are taken from their P",
		file:   "slab/fast.go", in: "cache.alloc",
		edits:  []edit{{before: `s.busy = 1`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestATakerAndAllocNeverShareASheaf", flags: pinnedPath, alone: true, count: 5, dies: "quiesce/slab:"},
	},
	{
		name:   "take-without-membarrier",
		breaks: "a sheaf has one owner while it is taken from its P",
		file:   "slab/revoke.go", in: "revokeLocked",
		edits:  []edit{{before: `sys.Membarrier() for _, c := range cs`, after: `for _, c := range cs`}},
		killer: killer{pkg: "slab", tests: "TestATakerAndFreeRCUNeverShareASheaf|TestATakerAndAllocNeverShareASheaf", alone: true, count: 5, dies: "quiesce/slab:"},
	},
	{
		name:   "taker-does-not-wait-for-busy",
		breaks: "a taker waits for the operation under way",
		file:   "slab/revoke.go", in: "waitIdle",
		edits:  []edit{{before: `atomic.LoadUint32(&s.busy) != 0`, after: `false`}},
		killer: killer{pkg: "slab", tests: "TestATakerWaitsForTheOperationUnderWay"},
	},
	{
		name:   "one-round-of-taking",
		breaks: "Barrier finds the sheaf that an operation was holding",
		file:   "slab/revoke.go", in: "revokeLocked",
		edits:  []edit{{before: `range 2`, after: `range 1`}},
		killer: killer{pkg: "slab", tests: "TestATakerFindsTheSheafThatAnOperationHadInHand"},
	},
	{
		name:   "stack-without-tag",
		breaks: "a pop fails whose sheaf left and came back (ABA)",
		file:   "slab/sheaf.go", in: "stack.pop",
		edits: []edit{
			{before: `(h>>32+1)<<32`, after: `h>>32<<32`},
			{before: `(h>>32+1)<<32`, after: `h>>32<<32`, in: "stack.pushList"},
			{before: `(h>>32+1)<<32`, after: `h>>32<<32`, in: "stack.takeAll"},
		},
		killer: killer{pkg: "slab", tests: "TestAPopWhoseSheafLeftAndCameBackFails"},
	},
	// The fallback chain.
	{
		name:   "chained-not-cleared",
		breaks: "no object is lost on the fallback chain",
		file:   "slab/chain.go", in: "cache.takeChainLocked",
		edits:  []edit{{before: `atomic.StoreUint32(&m.Chained, 0)`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestALongChainIsFreedByOneBarrier|TestTheFallbackChainLeavesOtherCachesSlabsAlone"},
	},
	{
		name:   "chain-bits-before-Chained",
		breaks: "a bit set while its slab is on the chain is found",
		file:   "slab/chain.go", in: "cache.takeChainLocked",
		edits: []edit{ // it sleeps, as if its thread had lost its processor there
			{in: "file", before: `"quiesce/internal/fault"`, after: "\"quiesce/internal/fault\"\n\t\"quiesce/internal/sys\""},
			{before: `atomic.StoreUint32(&m.Chained, 0)`, after: ``},
			{before: `if any { c.batch.slabs[n] = head`, after: "sys.Sleep(50_000)\natomic.StoreUint32(&m.Chained, 0)\nif any { c.batch.slabs[n] = head"},
		},
		killer: killer{pkg: "slab", tests: "TestChainedWhileItsSlabIsTakenIsFound", count: 5},
	},
	{
		name:   "chain-link-after-the-head",
		breaks: "a taker of the chain finds all of it",
		file:   "slab/chain.go", in: "cache.chainObject",
		edits: []edit{ // it spins, for the same reason
			{in: "file", before: `"quiesce/internal/fault"`, after: "\"quiesce/internal/fault\"\n\t\"quiesce/internal/sys\""},
			{before: `atomic.StoreUint32(&m.Chained, next)`, after: ``},
			{before: `if c.chain.CompareAndSwap(h, head) {`, after: "if c.chain.CompareAndSwap(h, head) {\nsys.Pause(2000)\natomic.StoreUint32(&m.Chained, next)\n"},
		},
		killer: killer{pkg: "slab", tests: "TestTheFallbackChainLeavesOtherCachesSlabsAlone", count: 2},
	},
	{
		name:   "push-outside-of-a-section",
		breaks: "a slab about to be chained stays a slab",
		file:   "slab/chain.go", in: "cache.chainObject",
		edits: []edit{
			{before: `p := preempt.Disable()`, after: ``},
			{before: `p.Enable()`, after: ``},
			{in: "file", before: `"quiesce/preempt"`, after: ``},
		},
		killer: killer{pkg: "slab", tests: "TestAPushOnTheChainIsAReadSideSection",
			flags: []string{"-tags=delay"}},
	},
	{
		name:   "shed-ignores-the-chain",
		breaks: "a slab on the chain stays a slab",
		file:   "slab/slabs.go", in: "cache.shedSlabLocked",
		edits:  []edit{{before: `&& atomic.LoadUint32(&m.Chained) == 0`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestAnEmptySlabOnTheChainStaysASlab"},
	},
	{
		name:   "shrink-ignores-the-chain",
		breaks: "a slab on the chain stays a slab",
		file:   "slab/slabs.go", in: "cache.dropEmptySlabsLocked",
		edits:  []edit{{before: `if atomic.LoadUint32(&m.Chained) == 0`, after: `if true`}},
		killer: killer{pkg: "slab", tests: "TestAnEmptySlabOnTheChainStaysASlab"},
	},
	{
		name:   "validate-in-one-hold",
		breaks: "a hold of slab.mu looks at a bounded number of pages",
		file:   "slab/walk.go", in: "walk.pagesLocked",
		edits:  []edit{{before: `to := min(w.frontier+pagesPerHold, opened)`, after: `to := opened`}},
		killer: killer{pkg: "slab", tests: "TestValidateLooksAtABoundedPartInAHold"},
	},
	{
		name:   "a-slab-leaves-the-walk-unseen",
		breaks: "Validate is exact while slabs change between its holds",
		file:   "slab/walk.go", in: "walk.leavesLocked",
		edits:  []edit{{before: `if head == w.at { w.at = m.Next }`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestValidateIsExactWhileSlabsChangeBetweenItsHolds"},
	},
	{
		name:   "a-walked-slab-loses-objects-unseen",
		breaks: "Validate is exact while slabs change between its holds",
		file:   "slab/slabs.go", in: "cache.bulkFreeLocked",
		edits:  []edit{{before: `|| m.InUse == 1 || walked`, after: `|| m.InUse == 1`}, {before: `walked := c.slabs.walk != nil`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestValidateIsExactWhileSlabsChangeBetweenItsHolds"},
	},
	{
		name:   "no-chain-when-arrays-run-out",
		breaks: "FreeRCU never loses an object",
		file:   "slab/free_slow.go", in: "cache.freeRCUSlow",
		edits:  []edit{{before: `ok := in != 0 || c.chainObject(off)`, after: `ok := true`}},
		killer: killer{pkg: "slab", tests: "TestTheFallbackChainLosesNothing"},
	},
	// Flags and limits.
	{
		name:   "NoLocks-takes-a-lock",
		breaks: "gfp.NoLocks takes no lock that can sleep",
		file:   "slab/alloc_slow.go", in: "cache.allocFurther",
		edits:  []edit{{before: `if !f.CanLock() { return`, after: `if false { return`}},
		killer: killer{pkg: "slab", tests: "TestNoLocksTakesNoLockOfTheCache", dies: "schedule: holding locks"},
	},
	{
		name:   "NoLocks-makes-no-class",
		breaks: "a refused request has the next one served",
		file:   "slab/kmalloc.go", in: "Heap.cacheFor",
		edits:  []edit{{before: `h.requestClass(i)`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestTheFirstRawKmallocOfAClassHasItMade"},
	},
	{
		name:   "FreeRCU-allocates-under-locks",
		breaks: "FreeRCU takes no lock",
		file:   "slab/slot.go", in: "cache.getEmpty",
		edits:  []edit{{before: `gfp.NoWait|gfp.NoLocks|gfp.NoWarn`, after: `gfp.NoWait|gfp.NoWarn`}},
		killer: killer{pkg: "slab", tests: "TestNoLocksInARawAtomicContextReturnsNilAndTheChainReclaims"},
	},
	{
		name:   "Kernel-waits-without-end",
		breaks: "gfp.Kernel gives up after ReclaimTimeout",
		file:   "page/wait.go", in: "Allocator.expire",
		edits:  []edit{{before: `d > 0 && !closed`, after: `d > 0 || !closed`}},
		killer: killer{pkg: "slab", tests: "TestAtTheLimitKernelWaitsAndOthersDoNot", hangs: true, limit: 8 * time.Second},
	},
	{
		name:   "Zero-ignored",
		breaks: "gfp.Zero gives zeros",
		file:   "slab/alloc_slow.go", in: "cache.allocSlow",
		edits:  []edit{{before: `f&gfp.Zero != 0 && p != nil`, after: `false`}},
		killer: killer{pkg: "slab", tests: "TestZeroClearsUsedObjects"},
	},
	// Young caches.
	{
		name:   "usual-slab-by-its-owner-alone",
		breaks: "an object of a young cache is found in its slab",
		file:   "slab/shape.go", in: "cache.usual",
		edits:  []edit{{before: `&& pages.Order(m.Read()) == c.order`, after: `&& pages.Order(m.Read()) >= 0`}},
		killer: killer{pkg: "slab", tests: "TestTheChainFindsTheSlabsOfYoungCaches|TestACacheGrowsAndShrinks"},
	},
	{
		name:   "place-not-taken",
		breaks: "a small sheaf has one owner",
		file:   "slab/small.go", in: "cache.takePlace",
		edits:  []edit{{before: `m.InUse |= 1 << i`, after: `_ = i`}},
		killer: killer{pkg: "slab", tests: "TestSmallSheavesShareTheirPages"},
	},
	{
		name:   "small-pages-kept",
		breaks: "a shared page goes back with the last sheaf in it",
		file:   "slab/small.go", in: "cache.dropSmall",
		edits:  []edit{{before: `if last { c.core`, after: `if false { c.core`}},
		killer: killer{pkg: "slab", tests: "TestSmallSheavesShareTheirPages"},
	},
	{
		name:   "young-sheaves-of-a-page",
		breaks: "a cache with an object costs 8 KiB at most",
		file:   "slab/small.go", in: "cache.makeSheaf",
		edits:  []edit{{before: `small := c.isYoung()`, after: `small := false`}},
		killer: killer{pkg: "slab", tests: "TestACacheWithAnObjectCostsAPageOrTwo"},
	},
	// Misuse.
	{
		name:   "hand-over-not-sampled",
		breaks: "a double free is seen though sheaves are handed over whole",
		file:   "slab/reclaim.go", in: "cache.dispose",
		edits:  []edit{{before: `c.checkSheaf(s)`, after: ``}},
		killer: killer{pkg: "slab", tests: "TestADoubleFreeIsSeenAtASampledHandOver"},
	},
	{
		name:   "double-free-not-seen-at-flush",
		breaks: "a double free is seen when its sheaf is flushed",
		file:   "slab/slabs.go", in: "cache.bulkFreeLocked",
		edits:  []edit{{before: `*w&bit == 0`, after: `false`}},
		killer: killer{pkg: "slab", tests: "TestMisusePanicsNamingCacheAndObject"},
	},
	{
		name:   "foreign-object-not-seen-at-flush",
		breaks: "another cache's object is refused",
		file:   "slab/shape.go", in: "cache.youngHead",
		edits:  []edit{{before: `m.Owner == c.id`, after: `true`}},
		killer: killer{pkg: "slab", tests: "TestMisusePanicsNamingCacheAndObject"},
	},
	// What the race detector sees.
	{
		name:   "depot-orders-users-for-the-race-detector",
		breaks: "the count of the depot's objects hides no data race of users",
		file:   "slab/sheaf.go", in: "cache.pushFull",
		edits: []edit{
			{before: `race.Disable()`, after: `_ = race.Enabled`},
			{before: `race.Enable()`, after: ``},
		},
		killer: killer{pkg: "tests/race", flags: []string{"-race"}, tests: "TestC_UsersOwnRacesAreReported", limit: 2 * time.Minute},
	},
	{
		name:   "chain-orders-users-for-the-race-detector",
		breaks: "the count of chained objects hides no data race of users",
		file:   "slab/chain.go", in: "cache.afterChaining",
		edits: []edit{
			{before: `race.Disable()`, after: `_ = race.Enabled`},
			{before: `race.Enable()`, after: ``},
		},
		killer: killer{pkg: "tests/race", flags: []string{"-race"}, tests: "TestC_UsersOwnRacesAreReported", limit: 2 * time.Minute},
	},
}

// pinnedPath is for mutants of what builds with leaves hardly use.
var pinnedPath = []string{"-tags=purego"}

// all is the list. Mutants of a file for another architecture are not in it.
func all() (ms []mutant) {
	for _, l := range [][]mutant{rcuMutants, slabMutants, pageMutants, rcuhashMutants, resizeMutants, lockdepMutants} {
		for _, m := range l {
			if m.in != "" || strings.HasSuffix(m.file, "_"+runtime.GOARCH+".s") {
				ms = append(ms, m)
			}
		}
	}
	return ms
}
