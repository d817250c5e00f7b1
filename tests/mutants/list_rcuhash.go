package main

var rcuhashMutants = []mutant{
	{
		name:   "map-Delete-frees-at-once",
		breaks: "(H-C) a value does not change under the guard",
		file:   "rcuhash/core.go", in: "core.retire",
		edits:  []edit{{before: `x.heap.KfreeRCUSized(n, x.shape.size(n))`, after: `x.heap.Kfree(n)`}},
		killer: killer{pkg: "rcuhash", tests: "TestHACD_ReadersDuringReplacements", count: 10, dies: "quiesce/"},
	},
	{
		name:   "map-Put-publishes-before-it-fills-in",
		breaks: "(H-C) what a reader finds is whole",
		file:   "rcuhash/map.go", in: "Map.put",
		edits: []edit{
			{before: "*m.valueOf(n) = *v\nreturn m.x.store(h, k, n, cond, f)", // slowly
				after: "old, stored, ok = m.x.store(h, k, n, cond, f)\nsys.Pause(200)\n*m.valueOf(n) = *v\nreturn old, stored, ok"},
			{in: "file", before: `"quiesce/internal/offheap"`, after: "\"quiesce/internal/offheap\"\n\t\"quiesce/internal/sys\""},
		},
		killer: killer{pkg: "rcuhash", tests: "TestHACD_ReadersDuringReplacements", count: 10, dies: "quiesce/"},
	},
	{
		name:   "map-miss-ends-the-look-up",
		breaks: "(H-A) a key that moves is found",
		file:   "rcuhash/core.go", in: "watched.missed",
		edits:  []edit{{before: `right == w.b &&`, after: `right != nil || right == w.b &&`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpThatMissesSeesThatEntriesMoved"},
	},
	{
		name:   "map-miss-ignores-the-version",
		breaks: "(H-A) a key that a merge brings back is found",
		file:   "rcuhash/core.go", in: "watched.missed",
		edits:  []edit{{before: `(now^w.meta)&identity == 0`, after: `(now^w.meta)&liveBit == 0`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpThatMissesSeesThatEntriesMoved"},
	},
	{
		name:   "map-merge-leaves-the-parents-version",
		breaks: "(H-A) a key that a merge brings back is found",
		file:   "rcuhash/merge.go", in: "core.mergeLocked",
		edits:  []edit{{before: `b.moved()`, after: ``}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpThatMissesSeesThatEntriesMoved"},
	},
	{
		name:   "map-merge-leaves-the-childs-version",
		breaks: "(H-A) a key that comes back to the child is found",
		file:   "rcuhash/merge.go", in: "core.mergeLocked",
		edits:  []edit{{before: `&^liveBit+versionOne`, after: `&^liveBit`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpThatMissesSeesThatEntriesMoved"},
	},
	{
		name:   "map-child-is-not-locked",
		breaks: "(H-C) a reference is in one slot, or locked",
		file:   "rcuhash/split.go", in: "index.splitLocked",
		edits:  []edit{{before: `child.lock()`, after: ``}},
		killer: killer{pkg: "rcuhash", tests: "TestHC_TheChildIsLockedUntilTheMoversHaveLeftTheParent"},
	},
	{
		name:   "map-doubles-while-a-bucket-is-split",
		breaks: "(H-A) a table is replaced at rest",
		file:   "rcuhash/split.go", in: "index.splitNext",
		edits: []edit{
			{before: `case c == int64(t.n):`, after: `case c%busyOne == int64(t.n):`},
			{in: "index.double", before: `!t.cursor.CompareAndSwap(int64(t.n), frozen)`, after: `t.cursor.Swap(frozen) == frozen`},
		},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ATableStaysWhileABucketIsSplitOrMerged"},
	},
	{
		name:   "map-halves-while-a-bucket-is-merged",
		breaks: "(H-A) a table is replaced at rest",
		file:   "rcuhash/merge.go", in: "core.halve",
		edits: []edit{
			{before: `!t.cursor.CompareAndSwap(0, frozen)`, after: `t.cursor.Swap(frozen) == frozen`},
			{in: "core.mergeLast", before: `case c == 0:`, after: `case c%busyOne == 0 && c != frozen:`},
		},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ATableStaysWhileABucketIsSplitOrMerged"},
	},
	{
		name:   "map-writer-does-not-look-again",
		breaks: "no update is lost while a bucket is split",
		file:   "rcuhash/core.go", in: "core.lockFor",
		edits:  []edit{{before: `b == l.b && x.table.Load() == l.t`, after: `b != nil`}},
		killer: killer{pkg: "rcuhash", tests: "TestWritersLoseNothingWhileTheMapGrowsAndShrinks", flags: []string{"-tags=delay"}, count: 10},
	},
	{
		name:   "map-Delete-cuts-the-chain",
		breaks: "(H-A) a key that stays is always found",
		file:   "rcuhash/core.go", in: "core.unlinkLocked",
		edits:  []edit{{before: `storeRef(&b.over, loadRef(&empty.over))`, after: `storeRef(&b.over, 0)`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ABucketThatLeavesItsChainLeavesTheRest"},
	},
	{
		name:   "map-walk-shows-keys-again",
		breaks: "(H-A) a walk sees a key once",
		file:   "rcuhash/walk.go", in: "index.step",
		edits:  []edit{{before: `&& bits.Reverse64(o) >= w.pos`, after: ``}},
		killer: killer{pkg: "rcuhash", tests: "TestAWalkThatChangesTheMapSeesKeysThatStayOnce"},
	},
}
