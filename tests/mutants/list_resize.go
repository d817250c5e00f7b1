package main

// The map's steps when it grows and shrinks, and what bounds them.
var resizeMutants = []mutant{
	{
		name:   "map-removal-leaves-the-reference",
		breaks: "a removed node is in no slot",
		file:   "rcuhash/bucket.go", in: "bucket.remove",
		edits:  []edit{{before: `storeRef(&b.refs[slot], 0)`, after: ``}},
		killer: killer{pkg: "rcuhash", tests: "TestOperations", dies: "double free"},
	},
	{
		name:   "map-reference-before-its-tag",
		breaks: "(H-B) what a walk has seen is found by the next look-up",
		file:   "rcuhash/bucket.go", in: "bucket.set",
		edits: []edit{{
			before: `b.tag(slot, tag) fault.Delay("entry") storeRef(&b.refs[slot], r)`,
			after:  "storeRef(&b.refs[slot], r)\nfault.Delay(\"entry\")\nb.tag(slot, tag)",
		}},
		killer: killer{
			pkg: "rcuhash", tests: "TestHB_AnEntryThatWasSeenIsThere",
			flags: []string{"-tags=delay"}, env: []string{"QUIESCE=delay=100:100us"},
		},
	},
	{
		name:   "map-split-without-a-version",
		breaks: "(H-A) a look-up in the parent is repeated after a split",
		file:   "rcuhash/split.go", in: "index.splitLocked",
		edits:  []edit{{before: `b.moved() fault.Delay("moved") keepers := 0`, after: `keepers := 0`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpIsRepeatedWhenItsKeyHasMoved|TestHA_ALookUpIsRepeatedWhenItsChainIsShortened"},
	},
	{
		name:   "map-child-live-before-its-entries",
		breaks: "(H-A) a live bucket has all of its entries",
		file:   "rcuhash/split.go", in: "index.splitLocked",
		edits: []edit{{
			before: `in, used := child, 0`,
			after:  "storeWord(&child.meta, child.loadMeta()|liveBit)\nfault.Delay(\"live\")\nin, used := child, 0",
		}},
		killer: stores(),
	},
	{
		name:   "map-parent-cleared-before-the-child-is-live",
		breaks: "(H-A) an entry is in the bucket where look-ups begin",
		file:   "rcuhash/split.go", in: "index.splitLocked",
		edits: []edit{
			{
				before: `in.set(used, tagOf(e.hash[j]), loadRef(&e.in[j].refs[e.slot[j]]))`,
				after:  "in.set(used, tagOf(e.hash[j]), loadRef(&e.in[j].refs[e.slot[j]]))\ne.in[j].remove(int(e.slot[j]))",
			},
			{before: `storeWord(&child.meta, child.loadMeta()|liveBit)`, after: "fault.Delay(\"live\")\nstoreWord(&child.meta, child.loadMeta()|liveBit)"},
		},
		killer: stores(),
	},
	{
		name:   "map-merge-clears-a-live-child",
		breaks: "(H-A) a live bucket has all of its entries",
		file:   "rcuhash/merge.go", in: "core.mergeLocked",
		edits: []edit{
			{before: `storeWord(&child.meta, child.loadMeta()&^liveBit+versionOne)`, after: ``},
			{
				before: `if child.tagAt(s) != 0 { child.remove(s) } }`,
				after:  "if child.tagAt(s) != 0 {\nchild.remove(s)\n}\n}\nstoreWord(&child.meta, child.loadMeta()&^liveBit+versionOne)",
			},
		},
		killer: stores(),
	},
	{
		name:   "map-walk-ignores-the-version",
		breaks: "(H-A) a walk sees keys that move while it is in their bucket",
		file:   "rcuhash/walk.go", in: "index.step",
		edits:  []edit{{before: `(meta^meta2)&identity != 0`, after: `(meta^meta2)&liveBit != 0`}},
		killer: stores(),
	},
	{
		name:   "map-walk-ignores-the-width-of-its-bucket",
		breaks: "(H-A) a walk sees keys that move while it is in their bucket",
		file:   "rcuhash/walk.go", in: "index.step",
		edits:  []edit{{before: `b2 != b || size2 != size`, after: `b2 != b || size2 == 0`}},
		killer: stores(),
	},
	{
		name:   "map-compaction-without-a-version",
		breaks: "(H-A) a look-up in a chain that becomes shorter is repeated",
		file:   "rcuhash/split.go", in: "index.splitLocked",
		edits:  []edit{{before: `b.moved() fault.Delay("moved") gone = x.next(b)`, after: `gone = x.next(b)`}},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpIsRepeatedWhenItsChainIsShortened"},
	},
	{
		name:   "map-reader-ignores-the-table",
		breaks: "(H-A) a look-up that has an old table ends in the current one",
		file:   "rcuhash/core.go", in: "watched.missed",
		edits: []edit{
			{before: `&& current == w.t || current == nil`, after: ``},
			{before: `current != w.t`, after: `current == nil`},
		},
		killer: killer{pkg: "rcuhash", tests: "TestHA_ALookUpWithAnOldTableEndsInTheCurrentOne"},
	},
	{
		name:   "map-cursor-not-frozen",
		breaks: "no bucket is split in an old table",
		file:   "rcuhash/split.go", in: "index.double",
		edits:  []edit{{before: `!t.cursor.CompareAndSwap(int64(t.n), frozen)`, after: `t.cursor.Load() != int64(t.n)`}},
		killer: killer{pkg: "rcuhash", tests: "TestATableIsFrozenWhenItIsAtRest"},
	},
	{
		name:   "map-Compute-without-its-condition",
		breaks: "Compute stores what comes from the entry that is there",
		file:   "rcuhash/index.go", in: "index.install",
		edits:  []edit{{before: `cond.absent || cond.old != nil && cond.old != found`, after: `cond.absent`}},
		killer: killer{pkg: "rcuhash", tests: "TestComputeLooksAgainIfTheEntryChanged", dies: "double free"},
	},
	{
		name:   "map-chain-longer-than-its-bound",
		breaks: "a chain is bounded, and so is what holds its entries",
		file:   "rcuhash/index.go", in: "index.install",
		edits:  []edit{{before: `length >= maxChain`, after: `length > maxChain`}},
		killer: killer{pkg: "rcuhash", tests: "TestAPutIsRefusedWhenTheChainIsFull", dies: "boundsError"},
	},
	{
		name:   "map-small-table-left-only-without-chains",
		breaks: "a map that raw contexts filled grows",
		file:   "rcuhash/tables.go", in: "index.leaveSmall",
		edits:  []edit{{before: `x.moveTo(t, next, spares); short == 0`, after: `x.moveTo(t, next, spares); true`}},
		killer: killer{pkg: "rcuhash", tests: "TestASmallTableIsLeftThoughItsKeysCollide"},
	},
	{
		name:   "map-small-table-left-with-a-spare-forgotten",
		breaks: "a bucket that the next table did not need is freed",
		file:   "rcuhash/tables.go", in: "index.leaveSmall",
		edits:  []edit{{before: `range spares[used:]`, after: `range spares[max(used, len(spares)):]`}},
		killer: killer{pkg: "rcuhash", tests: "TestASmallTableIsLeftThoughItsKeysCollide"},
	},
}

// stores kills what is wrong between two stores of a split, a merge or a walk.
func stores() killer {
	return killer{
		pkg: "rcuhash", flags: []string{"-tags=delay"},
		tests: "TestHA_LookUpsAndWalksBetweenAnyTwoStoresFindTheirKeys|TestHA_AWalkSeesThatEntriesMoveWhileItIsInTheirBucket",
	}
}
