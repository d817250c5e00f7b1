package api

// builtin returns Quiesce's own sections, and those of bbolt and pebble.
func builtin() []*Source {
	all := []*Source{
		{
			Name: "guard", Kind: Read, Ends: true,
			Begin: []string{"quiesce/rcu.ReadLock", "quiesce/rcu.ReadLockBH", "quiesce/rcu.Reader.ReadLock", "quiesce/srcu.Domain.ReadLock"},
			End:   []string{"quiesce/rcu.Guard.Unlock", "quiesce/rcu.GuardBH.Unlock", "quiesce/srcu.Guard.Unlock"},
			Lend:  []string{"quiesce/rcu.Read"},
			LendValues: []string{
				"quiesce/cache.Cache.View", "quiesce/cache.Bytes.View",
				"quiesce/rcuhash.Map.Range", "quiesce/rcuhash.Bytes.Range",
				"quiesce/rcuhash.Map.Compute", "quiesce/rcuhash.Bytes.Compute",
			},
			Handle: []string{
				"quiesce/rcu.GuardBH.Guard",
				"quiesce/rcuhash.Map.All", "quiesce/rcuhash.Bytes.All",
			},
			Borrow: []string{
				"quiesce/rcuhash.Map.Get", "quiesce/rcuhash.Map.GetKey", "quiesce/rcuhash.Map.Swap", "quiesce/rcuhash.Map.LoadAndDelete",
				"quiesce/rcuhash.Bytes.Get", "quiesce/rcuhash.Bytes.GetKey", "quiesce/rcuhash.Bytes.Swap", "quiesce/rcuhash.Bytes.LoadAndDelete",
				"quiesce/cache.Cache.GetGuarded", "quiesce/cache.Cache.GetKey",
				"quiesce/cache.Bytes.GetGuarded", "quiesce/cache.Bytes.GetKey",
				"quiesce/rcu.Pointer.Load", "quiesce/slab.Pointer.Load", "quiesce/slab.Link.Get",
			},
			Into: map[string]int{"quiesce/rcuhash.Map.GetBatch": 2, "quiesce/rcuhash.Bytes.GetBatch": 2},
		},
		{
			Name: "pinned section", Kind: Pinned, Ends: true,
			Begin:  []string{"quiesce/preempt.Disable", "quiesce/preempt.DisableIRQ"},
			End:    []string{"quiesce/preempt.Pinned.Enable", "quiesce/preempt.IRQState.Restore"},
			Inside: []string{"quiesce/preempt.Hardirq"},
		},
		{
			Name: "section with softirqs disabled", Ends: true,
			Begin: []string{"quiesce/preempt.DisableBH"},
			End:   []string{"quiesce/preempt.BHState.Restore"},
		},
	}
	for _, path := range []string{"go.etcd.io/bbolt", "github.com/boltdb/bolt", "github.com/etcd-io/bbolt"} {
		all = append(all, bolt(path))
	}
	for _, path := range []string{"github.com/cockroachdb/pebble", "github.com/cockroachdb/pebble/v2"} {
		all = append(all, pebble(path)...)
	}
	return all
}

// RawLocks are the methods of lock.Raw that pin, and those that end that.
var (
	RawLock   = []string{"quiesce/lock.Raw.Lock", "quiesce/lock.Raw.LockIRQ", "quiesce/lock.Raw.LockNested"}
	RawUnlock = []string{"quiesce/lock.Raw.Unlock", "quiesce/lock.Raw.UnlockIRQ"}
)

// ReaderUnlock ends the latest section of a reader, whose guard may be dropped.
const ReaderUnlock = "quiesce/rcu.Reader.Unlock"

// under puts a package's path before names.
func under(path string, names ...string) []string {
	for i, n := range names {
		names[i] = path + "." + n
	}
	return names
}

// bolt is bbolt: keys and values are in the mapped file, for the life of a
// transaction.
func bolt(path string) *Source {
	return &Source{
		Name:   "transaction",
		Begin:  under(path, "DB.Begin"),
		End:    under(path, "Tx.Commit", "Tx.Rollback"),
		Lend:   under(path, "DB.View", "DB.Update", "DB.Batch"),
		Handle: under(path, "Tx.Bucket", "Tx.CreateBucket", "Tx.CreateBucketIfNotExists", "Tx.Cursor", "Bucket.Bucket", "Bucket.CreateBucket", "Bucket.CreateBucketIfNotExists", "Bucket.Cursor", "Cursor.Bucket", "Bucket.Tx"),
		Borrow: under(path, "Bucket.Get", "Cursor.First", "Cursor.Last", "Cursor.Next", "Cursor.Prev", "Cursor.Seek"),
		Each:   under(path, "Bucket.ForEach", "Bucket.ForEachBucket", "Tx.ForEach"),
	}
}

// pebble has a closer for the value of a Get, and iterators whose keys and
// values live until the next step.
func pebble(path string) []*Source {
	moves := []string{"First", "Last", "Next", "NextPrefix", "Prev", "SeekGE", "SeekLT", "SeekPrefixGE", "NextWithLimit", "PrevWithLimit", "SeekGEWithLimit", "SeekLTWithLimit", "SetBounds", "SetOptions"}
	for i, m := range moves {
		moves[i] = "Iterator." + m
	}
	return []*Source{
		{
			Name:   "closer",
			Begin:  under(path, "DB.Get", "Snapshot.Get", "Batch.Get", "Reader.Get"),
			Values: []int{0},
			Token:  1,
			End:    []string{"io.Closer.Close"},
		},
		{
			Name:   "iterator",
			Begin:  under(path, "DB.NewIter", "DB.NewIterWithContext", "Snapshot.NewIter", "Batch.NewIter", "Reader.NewIter"),
			End:    under(path, "Iterator.Close"),
			Step:   under(path, moves...),
			Borrow: under(path, "Iterator.Key", "Iterator.Value", "Iterator.LazyValue"),
		},
	}
}
