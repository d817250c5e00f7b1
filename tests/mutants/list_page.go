package main

// The page allocator and the map.
var pageMutants = []mutant{
	{
		name:   "page-NoLocks-takes-the-zone-lock",
		breaks: "gfp.NoLocks takes no lock that can sleep",
		file:   "page/reclaim.go", in: "Allocator.allocOrReclaim",
		edits:  []edit{{before: `if !f.CanLock()`, after: `if false`}},
		killer: killer{pkg: "page", tests: "TestNoLocksIsServedFromTheListOrNilUnderAHeldZoneLock", dies: "schedule: holding locks"},
	},
	{
		name:   "page-limit-not-checked",
		breaks: "the memory limit is a promise",
		file:   "page/zone.go", in: "Allocator.chargeLocked",
		edits:  []edit{{before: `a.limit > 0 && r > a.limit`, after: `false`}},
		killer: killer{pkg: "page", tests: "TestLimitIsReachableAndPopulatedMemoryMovesBetweenOrders|TestModel"},
	},
	{
		name:   "page-populated-before-charged",
		breaks: "memory is charged before it is populated",
		file:   "page/blocks.go", in: "Allocator.allocCharged",
		edits:  []edit{{before: `shortfall = a.chargeLocked(missing)`, after: "shortfall = 0\ndefer a.chargeLocked(missing)"}},
		killer: killer{pkg: "page", tests: "TestLimitIsReachableAndPopulatedMemoryMovesBetweenOrders|TestModel"},
	},
	{
		name:   "page-watermark-ignored",
		breaks: "the last part of the limit is for gfp.Atomic",
		file:   "page/zone.go", in: "Allocator.roomLocked",
		edits:  []edit{{before: `!f.CanReserve()`, after: `false && !f.CanReserve()`}},
		killer: killer{pkg: "page", tests: "TestAtomicMayUseTheReserve"},
	},
	{
		name:   "page-merge-with-the-wrong-buddy",
		breaks: "a block is aligned to its size and has one owner",
		file:   "page/zone.go", in: "Allocator.freeBlockLocked",
		edits:  []edit{{before: `page ^ 1<<order`, after: `page + 1<<order`}},
		killer: killer{pkg: "page", tests: "TestModel"},
	},
	{
		name:   "page-deferred-frees-lost",
		breaks: "Free never loses a block",
		file:   "page/deferred.go", in: "Allocator.pushDeferred",
		edits:  []edit{{before: `a.meta(last).Link = head`, after: `a.meta(last).Link = 0`}},
		killer: killer{pkg: "page", tests: "TestFreeWorksInEveryContextWithTheZoneLockHeld"},
	},
	{
		name:   "page-double-free-accepted",
		breaks: "one of two frees of a block panics",
		file:   "page/page.go", in: "Allocator.Free",
		edits: []edit{{
			before: `!atomic.CompareAndSwapUint32(&a.meta(page).Word, pages.BlockWord(pages.InUse, order), pages.BlockWord(pages.Cached, order))`,
			after:  `atomic.SwapUint32(&a.meta(page).Word, pages.BlockWord(pages.Cached, order)) == 0`,
		}},
		killer: killer{pkg: "page", tests: "TestBadFreesPanicWithAllocatorAddressAndRule"},
	},
	{
		name:   "page-revoke-without-membarrier",
		breaks: "a page has one owner while lists are taken from their Ps",
		file:   "page/lists.go", in: "Allocator.revokeLocked",
		edits:  []edit{{before: `sys.Membarrier() for id := range used { s :=`, after: `for id := range used { s :=`}},
		killer: killer{pkg: "page", tests: "TestATakerSeesTheOwnerWhoseMarkIsInTheStoreBuffer", alone: true, count: 20, dies: "double free"},
	},
	{
		name:   "page-taker-does-not-wait",
		breaks: "a page has one owner while lists are taken from their Ps",
		file:   "page/lists.go", in: "Allocator.revokeLocked",
		edits:  []edit{{before: `atomic.LoadUint32(&s.busy) != 0`, after: `atomic.LoadUint32(&s.busy) > 1`}},
		killer: killer{pkg: "page", tests: "TestATakerWaitsForTheOwnersOperation"},
	},
	{
		name:   "page-lists-of-gone-Ps-ignored",
		breaks: "pages on the lists of a P that is gone are found",
		file:   "page/lists.go", in: "Allocator.collectLocked",
		edits:  []edit{{before: `range a.slots.Used()`, after: `range min(a.slots.Used(), runtime.GOMAXPROCS(0))`}},
		killer: killer{pkg: "page", tests: "TestATakerFindsTheListOfAPThatIsGone"},
	},
	{
		name:   "page-Zero-ignored",
		breaks: "gfp.Zero gives zeros",
		file:   "page/page.go", in: "Allocator.Alloc",
		edits:  []edit{{before: `f&gfp.Zero != 0`, after: `false`}},
		killer: killer{pkg: "page", tests: "TestEveryOrderIsAlignedZeroedAndUsable"},
	},
	{
		name:   "page-pinned-NoWait-populates",
		breaks: "a pinned allocation makes no system call",
		file:   "page/blocks.go", in: "Allocator.allocBlocks",
		edits:  []edit{{before: `pinned := preempt.Atomic()`, after: `pinned := preempt.Atomic() && false`}},
		killer: killer{pkg: "page", tests: "TestPinnedNoWaitTakesOnlyPopulatedBlocks"},
	},
	{
		name:   "page-drain-without-end",
		breaks: "nothing runs when idle",
		file:   "page/deferred.go", in: "Allocator.mergeLoop",
		edits:  []edit{{before: `a.deferredPages.Load() <= deferBound`, after: `a.closed.Load()`}},
		killer: killer{pkg: "page", tests: "TestNoGoroutineWhenIdle"},
	},
	{
		name:   "map-Delete-frees-at-once",
		breaks: "(H-C) a value does not change under the guard",
		file:   "rcuhash/map.go", in: "Map.retire",
		edits:  []edit{{before: `m.heap.KfreeRCUSized(unsafe.Pointer(n), m.size(n.klen))`, after: `m.heap.Kfree(unsafe.Pointer(n))`}},
		killer: killer{pkg: "rcuhash", tests: "TestHACD_ReadersDuringReplacements", count: 10, dies: "quiesce/"},
	},
	{
		name:   "map-Put-publishes-before-it-fills-in",
		breaks: "(H-C) what a reader finds is whole",
		file:   "rcuhash/map.go", in: "Map.PutFlags",
		edits: []edit{
			{before: `n.hash, n.klen, n.val = h, uint32(klen), v`, after: `n.hash, n.klen = h, uint32(klen)`},
			{before: `link.Store(n)`, after: "link.Store(n)\nsys.Pause(200)\nn.val = v"}, // slowly
			{in: "file", before: `"quiesce/gfp"`, after: "\"quiesce/gfp\"\n\t\"quiesce/internal/sys\""},
		},
		killer: killer{pkg: "rcuhash", tests: "TestHACD_ReadersDuringReplacements", count: 10, dies: "quiesce/"},
	},
	{
		name:   "map-Delete-cuts-the-list",
		breaks: "(H-A) a key that stays is always found",
		file:   "rcuhash/map.go", in: "Map.Delete",
		edits:  []edit{{before: `link.Store(old.next.LoadProtected(true))`, after: "link.Store(old.next.Load())\nold.next.Store(nil)"}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_RangeGoesOnFromAKeyThatIsDeletedUnderIt"},
	},
}
