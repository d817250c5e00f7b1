/*
 * Grace periods: pinned readers (nest, qs), preemptible readers
 * (lock[2], unlock[2]), or one of each; one updater.
 *
 * CPU 0 and 1 run the readers, CPU 2 the updater.
 * -DPINNED, -DPREEMPT or -DMIXED choose the readers; -DROUNDS=n the number of
 * unlink / grace period / free rounds.
 */
#if defined(PINNED) || defined(MIXED)
#define HAS_PINNED
#endif
#if defined(PREEMPT) || defined(MIXED)
#define HAS_PREEMPT
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif

#ifndef SECTIONS0
#define SECTIONS0	2	/* sections of the preemptible readers */
#endif
#ifndef SECTIONS1
#define SECTIONS1	2
#endif

#define NCPU	3
#ifndef NSB
#define NSB	3
#endif

#define PTR	0
#define CUR	1
#ifdef HAS_PINNED
#define NEST(c)	(2 + (c))
#define QS(c)	(4 + (c))
#define P1	6
#else
#define P1	2
#endif
#ifdef HAS_PREEMPT
#define LOCK(c, i)	(P1 + 2 * (c) + (i))
#define UNLOCK(c, i)	(P1 + 4 + 2 * (c) + (i))
#define NLOC	(P1 + 8)
#else
#define NLOC	P1
#endif

#ifdef WEAK
/*
 * A reader loads the pointer, and some time later uses the object. The load
 * of the pointer may be early or late, the use may be late, but not before the
 * pointer is there (address dependency). At most one such pair is outstanding.
 */
byte on[2];		/* CPU the reader runs on */
byte togo[2];		/* pointer loads the reader has yet to come to */
mtype = { PTR_LATE, PTR_HERE, BOTH_LATE, USE_LATE };
mtype pend[2];		/* 0: nothing; PTR_HERE is the one not outstanding */
byte obj[2];		/* PTR_HERE, USE_LATE: the object */
#define LATE1(c, r)	(on[r] == (c) && pend[r] != 0 && pend[r] != PTR_HERE)
#define LATE(c)		(LATE1(c, 0) || LATE1(c, 1))
/* Loads of one location stay in order: not early while an older one is late. */
#define EARLY1(c, r)	(on[r] == (c) && togo[r] != 0)
#define LATE_PTR1(c, r)	(on[r] == (c) && (pend[r] == PTR_LATE || pend[r] == BOTH_LATE))
#define EARLY_LOC(c)	PTR
#define EARLY_OK(c)	((EARLY1(c, 0) || EARLY1(c, 1)) && \
			 !LATE_PTR1(c, 0) && !LATE_PTR1(c, 1))
#endif

#include "memory.pml"

/* The counters of readers that never stop must stay finite. */
#ifdef FOREVER
#define COUNT(n)	((n) & 3)
#else
#define COUNT(n)	(n)
#endif

bool freed[ROUNDS + 1];
bool ended;

#define USE(o)	assert(!freed[o])	/* no reader uses a freed object */

/* p = pointer; use *p */
inline section(r, c)
{
#ifdef WEAK
	atomic {
		pend[r] == 0;
		togo[r]--;
		if
		:: pend[r] = PTR_LATE; DROP_EARLY(c)
		:: early[c] != 0 -> pend[r] = PTR_HERE; obj[r] = early[c] - 1
		fi
	};
	d_step {
		if
		:: pend[r] == PTR_LATE -> pend[r] = BOTH_LATE
		:: else -> pend[r] = USE_LATE
		fi
	}
#else
	d_step { LOAD(c, PTR, p) };
	d_step { USE(p); p = 0 }
#endif
}

inline add(c, l, d)
{
	d_step {
		ROOM(c, 1);
		LOAD(c, l, t);
		STORE(c, l, COUNT(t + (d)));
		t = 0
	}
}

#ifdef WEAK
/* The late loads of reader r. */
#define HW_LATE(r) \
	:: d_step { pend[r] == PTR_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = PTR_HERE } \
	:: d_step { pend[r] == BOTH_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = USE_LATE } \
	:: d_step { pend[r] == USE_LATE -> USE(obj[r]); obj[r] = 0; pend[r] = 0 }
#else
#define HW_LATE(r)
#endif

active proctype hw0() { end: do HW(0) HW_LATE(0) od }
active proctype hw1() { end: do HW(1) HW_LATE(1) od }
active proctype hw2() { end: do HW_STEPS(2) HW_LOOSE1(2) HW_LOOSE2(2) od }

#ifdef HAS_PINNED

#ifdef FOREVER
/* Like the real 64-bit word, this one must not come back to a snapshot. */
byte snapped[2] = 2;
inline quiescent(c)
{
	d_step {
		ROOM(c, 1);
		LOAD(c, QS(c), t);
		if
		:: snapped[c] == 2 || snapped[c] == t -> STORE(c, QS(c), 1 - t)
		:: else
		fi;
		t = 0
	}
}
#else
#define quiescent(c)	add(c, QS(c), 1)
#endif

/* Reader 0's first section has one nested in it; the second follows at once. */
inline pinned(r, c)
{
#ifdef FOREVER
	do
	:: add(c, NEST(c), 1);
	   section(r, c);
	   add(c, NEST(c), -1);
	   quiescent(c)
	od
#else
	add(c, NEST(c), 1);
	if
	:: r == 0 ->
		add(c, NEST(c), 1);
		add(c, NEST(c), -1)
	:: else
	fi;
	section(r, c);
	add(c, NEST(c), -1);
	quiescent(c);

	add(c, NEST(c), 1);
	section(r, c);
	add(c, NEST(c), -1);
	quiescent(c)
#endif
}
#endif

#ifdef HAS_PREEMPT
/* One section; it may move to the other CPU, which orders all it did before. */
inline preemptible(r)
{
	d_step { LOAD(c, CUR, i) };
	add(c, LOCK(c, i), 1);
	section(r, c);
#ifndef FOREVER
	if
	:: skip
	:: d_step {
		QUIET(c);
		DROP_EARLY(c);
		c = 1 - c;
#ifdef WEAK
		on[r] = c
#endif
	   }
	fi;
#endif
	d_step { add0(c, UNLOCK(c, i)); i = 0 }
}

inline add0(c, l)
{
	ROOM(c, 1);
	LOAD(c, l, t);
	STORE(c, l, COUNT(t + 1));
	t = 0
}
#endif

#ifdef HAS_PINNED
active proctype pinned0()
{
	byte t;
#ifdef TSO
	byte p;
#else
	togo[0] = 2;
#endif
	pinned(0, 0)
}
#endif
#ifdef PINNED
active proctype pinned1()
{
	byte t;
#ifdef TSO
	byte p;
#else
	d_step { togo[1] = 2; on[1] = 1 };
#endif
	pinned(1, 1)
}
#endif
#ifdef PREEMPT
active proctype preempt0()
{
	byte t, i, c;
#ifdef TSO
	byte p;
#else
	togo[0] = SECTIONS0;
#endif
#ifdef FOREVER
	do
	:: preemptible(0)
	od
#else
	preemptible(0)
#if SECTIONS0 == 2
	;
	preemptible(0)
#endif
#endif
}
#endif
#ifdef HAS_PREEMPT
active proctype preempt1()
{
	byte t, i, c = 1;
#ifdef TSO
	byte p;
#else
	d_step { togo[1] = SECTIONS1; on[1] = 1 };
#endif
	preemptible(1)
#if SECTIONS1 == 2
	;
	preemptible(1)
#endif
}
#endif

/* The updater. */

#ifdef MUTANT_NO_MB_A
#define MB_A()	NO_MEMBARRIER(2)
#else
#define MB_A()	MEMBARRIER(2)
#endif
#if defined(TSO) || defined(MUTANT_NO_MB_B)
#define MB_B()	NO_MEMBARRIER(2)	/* TSO: a reader's exit is a release */
#else
#define MB_B()	MEMBARRIER(2)
#endif
#ifdef MUTANT_NO_MB_SCAN
#define MB_SCAN()	NO_MEMBARRIER(2)
#else
#define MB_SCAN()	MEMBARRIER(2)
#endif

/* A sum over all CPUs reads one word at a time. */
inline sum_locks(i, s)
{
	s = s + mem[LOCK(0, i)];
	s = s + mem[LOCK(1, i)]
}
inline sum_unlocks(i, s)
{
	s = s - mem[UNLOCK(0, i)];
	s = s - mem[UNLOCK(1, i)]
}

/* Loop until sum of locks - sum of unlocks is zero. */
inline scan(i)
{
	do
	:: diff = 0;
#ifdef MUTANT_LOCKS_FIRST
	   sum_locks(i, diff);
	   MB_SCAN();
	   sum_unlocks(i, diff);
#else
	   sum_unlocks(i, diff);
	   MB_SCAN();
	   sum_locks(i, diff);
#endif
	   if
	   :: COUNT(diff) == 0 -> break
	   :: else
	   fi
	od
}

#ifdef MUTANT_QS_EQUAL
#define LEFT(c)	(mem[NEST(c)] == 0 || mem[QS(c)] == snap[c])
#else
#ifdef MUTANT_NO_QS
#define LEFT(c)	(mem[NEST(c)] == 0)
#else
#define LEFT(c)	(mem[NEST(c)] == 0 || mem[QS(c)] != snap[c])
#endif
#endif

#ifdef FOREVER
#define SNAPPED(c)	snapped[c] = snap[c]
#else
#define SNAPPED(c)	skip
#endif
#define SNAP_QS(c)	d_step { snap[c] = mem[QS(c)]; SNAPPED(c) }
#define SNAP_NEST(c)	wait[c] = (mem[NEST(c)] != 0)

inline snapshot(c)
{
#if defined(MUTANT_SNAP_BEFORE_A)
	SNAP_NEST(c)
#elif defined(SAFE_NEST_FIRST)
	SNAP_NEST(c);
	SNAP_QS(c)
#elif defined(WEAK)
	/* Two loads: any order. */
	if
	:: SNAP_QS(c); SNAP_NEST(c)
	:: SNAP_NEST(c); SNAP_QS(c)
	fi
#else
	SNAP_QS(c);
	SNAP_NEST(c)
#endif
}

active proctype updater()
{
	byte round;
#ifdef HAS_PINNED
	byte snap[2];
	bool wait[2];
#endif
#ifdef HAS_PREEMPT
	byte idx;
	byte d0, d1, diff;	/* locks - unlocks, modulo 256 */
#endif
	do
	:: round < ROUNDS ->
		d_step { ROOM(2, 1); STORE(2, PTR, round + 1) };

#ifdef HAS_PREEMPT
#ifdef MUTANT_LOCKS_FIRST
		sum_locks(1 - idx, d0);
		sum_locks(idx, d1);
#else
		sum_unlocks(1 - idx, d0);
		sum_unlocks(idx, d1);
#endif
#endif
#ifdef MUTANT_SNAP_BEFORE_A
		SNAP_QS(0);
		SNAP_QS(1);
#endif
		MB_A();
#ifdef HAS_PREEMPT
#ifdef MUTANT_LOCKS_FIRST
		sum_unlocks(1 - idx, d0);
		sum_unlocks(idx, d1);
#else
		sum_locks(1 - idx, d0);
		sum_locks(idx, d1);
#endif
#endif
#ifdef HAS_PINNED
		snapshot(0);
#ifdef PINNED
		snapshot(1);
#endif
#endif
#ifdef HAS_PREEMPT
#ifdef MUTANT_ONLY_CURRENT
		d0 = 0;
#endif
#ifdef MUTANT_ONLY_OTHER
		d1 = 0;
#endif
		if
		:: COUNT(d0) != 0 -> scan(1 - idx)
		:: else
		fi;
		if
		:: COUNT(d1) != 0 ->
#ifndef MUTANT_NO_FLIP
			d_step { ROOM(2, 1); STORE(2, CUR, 1 - idx) };
#endif
			scan(idx);
			idx = 1 - idx
		:: else
		fi;
		d_step { d0 = 0; d1 = 0; diff = 0 };
#endif
#ifdef HAS_PINNED
		(!wait[0] || LEFT(0));
		d_step { wait[0] = 0; snap[0] = 0 };
#ifdef PINNED
		(!wait[1] || LEFT(1));
		d_step { wait[1] = 0; snap[1] = 0 };
#endif
#endif
		MB_B();
		d_step { freed[round] = 1; round++ }
	:: else -> break
	od;
	ended = 1
}

#ifdef LIVE
/* A grace period ends. */
ltl live { <> ended }
#endif
