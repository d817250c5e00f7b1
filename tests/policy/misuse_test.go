package policy

import (
	"strings"
	"testing"
)

// planted says, for each mistake of the table in debugging.md, where tests make it: a
// file, and what stands in it.
var planted = map[string][][2]string{
	"value used after `Unlock`": {
		{vetData + "borrow/borrow.go", "used after Unlock"},
		{"tests/race/wrong_test.go", `"use after Unlock"`},
		{"slab/guard_fault_test.go", "func TestAnAccessToAFreedGuardedObjectFaultsWithTheReport("}},
	"freed while still linked": {
		{"slab/guard_fault_test.go", "func TestAnAccessToAFreedGuardedObjectFaultsWithTheReport("}},
	"`Free` where `FreeRCU` was needed": {
		{vetData + "earlyfree/earlyfree.go", "an object that readers may still have"},
		{"tests/race/wrong_test.go", `"Free without a grace period"`}},
	"second free": {
		{"slab/alloc_test.go", "double free"},
		{"tests/race/wrong_test.go", `"two frees of one object"`},
		{"slab/poison_misuse_test.go", "func TestASecondFreeIsReportedAtOnceWithBothStacks("}},
	"free of a foreign pointer": {
		{"slab/poison_misuse_test.go", "func TestAForeignFreeIsReportedAtOnceWithTheObjectsOwner("},
		{"slab/typed_sheaf_test.go", "func TestForeignPointerInASheafPanics("}},
	"`slab.Pointer` or `slab.Link` set to a Go object": {
		{vetData + "gopointers/gopointers.go", "Pointer is set to a Go object"},
		{"slab/link_test.go", "func TestMakeLinkToGoMemoryFailsTheTestRunOfABuildWithChecks("}},
	"write past an object": {
		{"slab/poison_misuse_test.go", "func TestAWriteBesideAnObjectIsFoundWhenItIsFreed("}},
	"object never freed": {
		{"tests/heapprofile/leaks_test.go", "func TestCloseNamesTheCallSiteOfALeak("},
		{"slab/poison_misuse_test.go", "func TestCloseListsLeaksByTheirAllocationStacks("}},
	"guard never unlocked": {
		{vetData + "unlock/unlock.go", "guard from rcu.ReadLock is not ended"},
		{"lockdep/readers_test.go", "func TestAGuardReleasedTwiceOrNever("}},
	"`rcu.Reader` closed, or unlocked, too early": {
		{"rcu/registered_test.go", "func TestAReaderIsNotClosedInASection("},
		{"rcu/registered_test.go", "func TestAnUnlockWithoutASectionPanicsAndDoesNotCount("}},
	"one `rcu.Reader` or `slab.Sheaf` used by two goroutines": {
		{vetData + "oneowner/oneowner.go", "slab.Sheaf is used here and by the goroutine"},
		{"tests/race/wrong_test.go", `"two goroutines use one Reader"`},
		{"tests/race/wrong_test.go", `"two goroutines use one Sheaf"`}},
	"`slab.Sheaf` used after its Close, or its cache's": {
		{"slab/typed_sheaf_test.go", "func TestClosedSheafIsOfNoUse("},
		{"slab/sheaf_left_test.go", "func TestCloseNamesTheSheavesThatAreOpen("}},
	"`slab.Sheaf` not closed": {
		{"slab/sheaf_left_test.go", "func TestCloseNamesTheSheavesThatAreOpen("}},
	"a cache or map dropped without `Close`": {
		{"tests/heapprofile/leaks_test.go", "func TestADroppedCacheIsLogged("},
		{"tests/heapprofile/leaks_test.go", "func TestDroppedMapsAndCachesAreFreed("}},
	"guard unlocked twice": {
		{vetData + "unlock/unlock.go", "is ended twice"},
		{"lockdep/readers_test.go", "func TestAGuardReleasedTwiceOrNever("}},
	"`Synchronize` or `Put` under a guard": {
		{vetData + "grace/grace.go", "rcu.Synchronize in the read-side section"},
		{vetData + "grace/grace.go", "Map.Put in the read-side section"},
		{"lockdep/readers_test.go", "func TestSynchronizeInsideOfASectionIsReportedBeforeItHangs("},
		{"lockdep/readers_test.go", "func TestAnAllocationIsCheckedThoughItNeedsNoLock("}},
	"`rcu.Barrier` (or a Batch's) under a lock that a callback takes": {
		{"lockdep/callback_test.go", "func TestBarrierUnderALockThatACallbackTakesIsReported("},
		{"lockdep/callback_test.go", "func TestBarrierOfABatchUnderALockThatItsFunctionTakesIsReported("}},
	"a zero guard as proof": {
		{"lockdep/callback_test.go", "func TestAZeroGuardAsProofIsReported("}},
	"locks taken in two orders": {
		{"lockdep/rules_test.go", "func TestAnOrderIsKnownFromOneRunOfEach("}},
	"a lock that sleeps while pinned": {
		{vetData + "pinned/pinned.go", "calls Spin.Lock"},
		{"lockdep/report_test.go", "func TestASleepingLockContendedWhilePinnedIsAReportAndNoCrash("}},
	"a pointer returned, stored, sent or captured that a guard lends": {
		{vetData + "borrow/borrow.go", "returned"},
		{vetData + "borrow/borrow.go", "stored in"},
		{vetData + "borrow/borrow.go", "sent to a channel"}},
	"anything else that blocks while pinned": {
		{vetData + "pinned/pinned.go", "receives from a channel in the pinned section"},
		{"lockdep/sleep_test.go", "func TestMightSleepIsReportedWhereNothingMay("}},
	"nil of a `gfp.NoWait` allocation not looked for": {
		{vetData + "nilalloc/nilalloc.go", "without a look for nil"}},
	"Go pointers in an off-heap type": {
		{vetData + "gopointers/gopointers.go", "holds a Go pointer"},
		{"internal/offheap/check_test.go", "func TestTheErrorNamesTypeFieldAndRemedy("}},
}

const vetData = "cmd/quiescevet/internal/checks/testdata/src/"

// Each row of the page's table is a mistake that a test makes, and no other is.
func TestEachMistakeOfTheTableIsPlanted(t *testing.T) {
	page := read(t, "docs/guide/debugging.md")
	_, table, ok := strings.Cut(page, "| mistake |")
	if !ok {
		t.Fatal("debugging.md has no table of mistakes")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	seen := map[string]bool{}
	for i, l := range strings.Split(table, "\n") {
		if i < 2 { // the head
			continue
		}
		mistake := strings.TrimSpace(strings.Split(strings.TrimPrefix(l, "|"), " | ")[0])
		seen[mistake] = true
		if len(planted[mistake]) == 0 {
			t.Errorf("no test is known to make the mistake %q", mistake)
		}
		for _, at := range planted[mistake] {
			if !strings.Contains(read(t, at[0]), at[1]) {
				t.Errorf("%q: %s lacks %q", mistake, at[0], at[1])
			}
		}
	}
	for mistake := range planted {
		if !seen[mistake] {
			t.Errorf("debugging.md has no row %q", mistake)
		}
	}
}
