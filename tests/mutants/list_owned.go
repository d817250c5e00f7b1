package main

// Sheaves that a goroutine owns.
var ownedMutants = []mutant{
	{
		name:   "owned-cookie-at-install",
		breaks: "an owner's object waits for a grace period that began after its unlinking",
		file:   "slab/owned.go", in: "owned.closeRCU",
		edits: []edit{
			{before: `o.c.closeSheaf(out, rcu.GetState())`, after: `o.c.closeSheaf(out, o.c.sheaf(out).cookie)`},
			{in: "owned.arm", before: `o.state.Store(ownArmed)`,
				after: "o.c.sheaf(o.rcuNum).cookie = rcu.GetState()\no.state.Store(ownArmed)"},
		},
		killer: killer{pkg: "slab", tests: "TestOwnedCookieBelongsToTheLastObject"},
	},
	{
		name:   "owned-cleanup-forgets-the-stock",
		breaks: "a Sheaf that was dropped gives back all that it held",
		file:   "slab/typed_sheaf.go", in: "Cache.Sheaf",
		edits:  []edit{{before: `(*owned).close`, after: `func(o *owned) { o.setMain(0); o.close() }`}},
		killer: killer{pkg: "slab", tests: "TestSheafThatWasDroppedGivesEverythingBack"},
	},
	{
		name:   "owned-array-kept-by-the-next-call",
		breaks: "an array that the service has asked for is handed over by the owner's next call",
		file:   "slab/owned.go", in: "owned.leave",
		edits: []edit{
			{before: `again = o.state.Load() == ownNudged`, after: `again = false`},
			{in: "owned.enter", before: `case nudged: o.handOver()`, after: `case nudged:`},
		},
		killer: killer{pkg: "slab", tests: "TestOwnedArrayThatDoesNotFillIsHandedOverByTheNextCall"},
	},
	{
		name:   "owned-nudge-lost-in-a-slow-path",
		breaks: "an owner that opens its gates sees that it was asked meanwhile",
		file:   "slab/owned.go", in: "owned.leave",
		edits:  []edit{{before: `again = o.state.Load() == ownNudged`, after: `again = false`}},
		killer: killer{pkg: "slab", tests: "TestOwnedNudgeDuringASlowPathIsSeen"},
	},
	{
		name:   "owned-stock-not-kept",
		breaks: "what a Sheaf was filled with is there for as many allocations",
		file:   "slab/owned_slow.go", in: "owned.makeRoom",
		edits:  []edit{{before: `o.stocked-n < o.want`, after: `false`}},
		killer: killer{pkg: "slab", tests: "TestSheafGivesWhatItDoesNotNeedToTheCache"},
	},
}
