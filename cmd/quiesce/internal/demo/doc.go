// Package demo is Quiesce's main job: real files' facts in an off-heap hash
// map, looked up by readers without locks while writers replace, delete and
// re-insert them and free the old ones by RCU, from every context.
//
// # What runs
//
//	load     walk DIR; read every regular file; put its record into the map
//	run      readers, writers, and one controller, for Config.Duration
//	close    last check of every path, Barrier, figures, Close, leak check
//	flood    a million cold objects through FreeRCU, and as a linked list
//
// The controller, which is Run's own goroutine, changes GOMAXPROCS (steps),
// opens and closes the pressure window (pressure.go), requests garbage
// collections, and reports progress.
//
// # How an error is known from a race
//
// A path belongs to one writer. Its entry holds one word, written by that
// writer alone: the generation of the path's record, and the phase.
//
//	present ─→ present of the next generation      Put over the old record
//	present ─→ deleting ─→ absent ─→ inserting ─→ present of the next
//
// The writer stores "deleting" before Delete is called and "present" after
// Put returned. A reader loads the word before and after its lookup:
//
//   - present both times, and the same: the key was there during the whole
//     lookup. A miss is an error.
//   - absent both times, and the same: the key was not there at any time. A
//     hit is an error.
//   - a hit's generation is at least the one before the lookup if that was
//     present, and at most one more than the one after it.
//
// A generation never returns, so "the same" means that nothing happened in
// between. None of this can be a false alarm, and each is an integrity error.
// Others are a record whose bytes do not fit its own check word or its path,
// and a record that changed while its reader held the guard.
//
// # Who touches what
//
//	entry.path, tag        immutable after load
//	entry.word             stored by the path's writer, loaded by all
//	reader, writer         their goroutine's; counters by atomics
//	job.pressure, stop     stored by the controller, loaded by all
package demo
