/*
 * Grace periods as package rcu drives them. The numbers 1 to 10 are the steps
 * in rcu/doc.go.
 *
 * CPU 0 and CPU 1 run P 0 and P 1, CPU 2 runs a caller of Synchronize. The
 * others are:
 *   -DPINNED    two pinned readers, one on each P
 *   -DPREEMPT   two preemptible readers, which change Ps
 *   -DMIXED     a pinned reader on P 0, a preemptible one that starts on P 1
 *   -DCALLERS   a pinned reader on P 1; CPU 0 runs a second caller, whose
 *               object it is that the reader sees
 * -DRESIZE: P 1 goes away and comes back, CHANGES times. -DFOREVER: readers
 * that never stop. ROUNDS, SECTIONS0, SECTIONS1: sizes.
 */
#if defined(PINNED) || defined(MIXED) || defined(CALLERS)
#define HAS_PINNED
#endif
#if defined(PREEMPT) || defined(MIXED)
#define HAS_PREEMPT
#endif
#ifndef ROUNDS
#define ROUNDS	2	/* of unlink, Synchronize, free by CPU 2 */
#endif
#ifndef SECTIONS0
#define SECTIONS0	2	/* sections of reader 0 */
#endif
#ifndef SECTIONS1
#define SECTIONS1	2
#endif
#ifndef CHANGES
#ifdef CALLERS
#define CHANGES	3	/* of GOMAXPROCS, from 1 */
#else
#define CHANGES	2	/* from 2 */
#endif
#endif

#define NCPU	3
#ifndef NSB
#define NSB	3
#endif

#define PTR	0
#ifdef HAS_PINNED
#define NEST(c)	(1 + (c))
#define QS(c)	(3 + (c))
#define P1	5
#else
#define P1	1
#endif
#ifdef HAS_PREEMPT
#define LOCKS	P1		/* P c, index i: LOCKS + 2 * c + i */
#define UNLOCKS	(P1 + 4)
#define MARK	(P1 + 8)	/* the high-water mark of readers */
#define NLOC	(P1 + 9)
#else
#define NLOC	P1
#endif

byte on[2] = { 0, 1 };	/* P (and CPU) that the reader runs on */

#ifdef WEAK
/*
 * A reader loads the pointer, and some time later uses the object. The load
 * of the pointer may be early or late, the use may be late, but not before the
 * pointer is there (address dependency). At most one such pair is outstanding.
 */
byte togo[2];		/* pointer loads the reader has yet to come to */
mtype = { PTR_LATE, PTR_HERE, BOTH_LATE, USE_LATE };
mtype pend[2];		/* 0: none; PTR_HERE: the one that is not outstanding */
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

/* Atomic words: all accesses are Go atomics. */
byte seq;
byte idx;		/* the index that new readers use */

#ifdef CALLERS
byte np = 1;		/* GOMAXPROCS */
#else
byte np = 2;
#endif
byte pins;		/* goroutines that are pinned; the world stops at 0 */
bool mu;		/* gp.mu */
bool freed[ROUNDS + 1];
byte ended;
#ifdef CALLERS
#define ALL_ENDED	2
#else
#define ALL_ENDED	1
#endif

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
		:: early[c] != 0 -> REACHED(8); pend[r] = PTR_HERE; obj[r] = early[c] - 1
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
	d_step { USE(p); REACHED_IF(7, p != mem[PTR]); p = 0 }
#endif
}

/* Inside d_step. */
inline add_(c, l, d)
{
	ROOM(c, 1);
	LOAD(c, l, t);
	STORE(c, l, COUNT(t + (d)));
	t = 0
}

inline add(c, l, d)
{
	d_step { add_(c, l, d) }
}

#ifdef WEAK
/* The late loads of reader r. */
#define HW_LATE(r) \
	:: d_step { pend[r] == PTR_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = PTR_HERE } \
	:: d_step { pend[r] == BOTH_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = USE_LATE } \
	:: d_step { pend[r] == USE_LATE -> USE(obj[r]); \
		REACHED_IF(7, obj[r] != mem[PTR]); obj[r] = 0; pend[r] = 0 }
#else
#define HW_LATE(r)
#endif

active proctype hw0() { end: do HW(0) HW_LATE(0) od }
active proctype hw1() { end: do HW(1) HW_LATE(1) od }
active proctype hw2() { end: do HW_STEPS(2) HW_LOOSE1(2) HW_LOOSE2(2) od }

/*
 * GOMAXPROCS changes: the world stops when no goroutine is pinned, which is a full
 * barrier for every CPU, and goroutines of a P that is gone continue elsewhere.
 */
#ifdef RESIZE
active proctype resizer()
{
	byte k = CHANGES;
end:	do
	:: d_step {
		k > 0 && pins == 0 && mb_todo == 0 && QUIET(0) && QUIET(1) && QUIET(2) ->
		DROP_EARLY(0);
		DROP_EARLY(1);
		np = 3 - np;
		k--;
#ifdef HAS_PREEMPT
		on[0] = (np == 1 -> 0 : on[0]);
		on[1] = (np == 1 -> 0 : on[1])
#endif
	   }
	od
}
#define PIN	pins++
#define UNPIN	pins--
#else
#define PIN	skip
#define UNPIN	skip
#endif

/* Pinned readers. */

#ifdef HAS_PINNED

#ifdef FOREVER
/* Like the real 64-bit word, this one must not come back to a snapshot. */
byte snapped[2] = 2;
inline quiescent_(c)
{
	ROOM(c, 1);
	LOAD(c, QS(c), t);
	if
	:: snapped[c] == 2 || snapped[c] == t -> STORE(c, QS(c), 1 - t)
	:: else
	fi;
	t = 0
}
#else
#define quiescent_(c)	add_(c, QS(c), 1)
#endif

#ifdef RESIZE
#define EXISTS(c)	np > (c)
#else
#define EXISTS(c)	true
#endif

inline enter(c)
{
	d_step { EXISTS(c) && ROOM(c, 1) -> PIN; add_(c, NEST(c), 1) }
}

inline leave(c)
{
	add(c, NEST(c), -1);
	d_step { quiescent_(c); UNPIN }
}

/* Reader 0's first section has one nested in it; the second follows at once. */
inline pinned(r, c)
{
#ifdef FOREVER
	do
	:: enter(c);
	   section(r, c);
	   leave(c)
	od
#else
	enter(c);
	if
	:: r == 0 ->
		add(c, NEST(c), 1);
		add(c, NEST(c), -1)
	:: else
	fi;
	section(r, c);
	leave(c);

	enter(c);
	section(r, c);
	leave(c)
#endif
}
#endif

/* Preemptible readers. */

#ifdef HAS_PREEMPT

bool flag[2];		/* CPU.Reader: this P is below the mark */

/* The goroutine moves to the other P; the scheduler orders all it did before. */
inline move(r)
{
	d_step {
		np == 2 && QUIET(on[r]);
		DROP_EARLY(on[r]);
		on[r] = 1 - on[r]
	}
}

/*
 * RegisterReader: raise the mark, then set the flag. A load, and unless it says
 * that the mark is high enough, a compare-and-swap. The exclusive pair on WEAK
 * lets a younger load come between its two halves.
 */
inline raise_mark(c)
{
#if defined(MUTANT_MARK_STORE)
	d_step { LOAD(c, MARK, t); DROP_EARLY(c) };
	if
	:: d_step { t <= (c) && ROOM(c, 1) -> STORE(c, MARK, (c) + 1) }
	:: t > (c)
	fi;
#elif !defined(MUTANT_MARK_NONE)
	do
	:: d_step { LOAD(c, MARK, t); DROP_EARLY(c) };
	   if
	   :: t > (c) -> break
	   :: d_step {
		t <= (c) && QUIET(c) ->
		if
		:: mem[MARK] == t -> mem[MARK] = (c) + 1
		:: else
		fi
	      }
	   fi
	od;
#endif
	t = 0;
	flag[c] = 1
}

/* Pin; on the first entry raise the mark; load the index; count; unpin. */
inline lock(r)
{
#ifdef RESIZE
	if
	:: true
	:: move(r)
	fi;
#ifdef MUTANT_MARK_LATE
	d_step { PIN; i = idx };
#else
	if
	:: d_step { flag[on[r]] -> PIN; i = idx }
	:: d_step { !flag[on[r]] -> PIN };
	   raise_mark(on[r]);
	   i = idx
	fi;
#endif
#else
	i = idx;
#endif
	d_step { add_(on[r], LOCKS + 2 * on[r] + i, 1); UNPIN }
}

/* One section. */
inline preemptible(r)
{
	lock(r);
	section(r, on[r]);
#ifdef MUTANT_MARK_LATE
	PIN;
	if
	:: flag[on[r]]
	:: else -> raise_mark(on[r])
	fi;
	UNPIN;
#endif
#ifndef FOREVER
	if
	:: true
	:: move(r)
	fi;
#endif
	d_step { add_(on[r], UNLOCKS + 2 * on[r] + i, 1); i = 0 }
}
#endif

#ifdef HAS_PINNED
#ifdef CALLERS
#define R	1
#else
#define R	0
#endif
active proctype pinned0()
{
	byte t;
#ifdef TSO
	byte p;
#else
	togo[R] = 2;
#endif
	pinned(R, R)
}
#endif
#ifdef PINNED
active proctype pinned1()
{
	byte t;
#ifdef TSO
	byte p;
#else
	togo[1] = 2;
#endif
	pinned(1, 1)
}
#endif
#ifdef PREEMPT
active proctype preempt0()
{
	byte t, i;
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
#if defined(HAS_PREEMPT) && SECTIONS1 > 0
active proctype preempt1()
{
	byte t, i;
#ifdef TSO
	byte p;
#else
	togo[1] = SECTIONS1;
#endif
	preemptible(1)
#if SECTIONS1 == 2
	;
	preemptible(1)
#endif
}
#endif

/* The driver. Its words are zero between grace periods. */

#ifdef MUTANT_NO_MB_A
#define MB_A(c)	NO_MEMBARRIER(c)
#else
#define MB_A(c)	MEMBARRIER(c)
#endif
#if defined(TSO) || defined(MUTANT_NO_MB_B)
#define MB_B(c)	NO_MEMBARRIER(c)	/* TSO: a reader's exit is a release */
#else
#define MB_B(c)	MEMBARRIER(c)
#endif

#ifdef HAS_PREEMPT
#define COUNT_WORDS \
	byte m;		/* the mark, as a sum has read it */ \
	byte d[2];	/* entries - exits of steps 2 and 4, modulo 256 */ \
	byte diff;	/* the same in drain */ \
	bool tick;	/* every second pause in drain looks further */
#else
#define COUNT_WORDS
#endif

#ifdef HAS_PREEMPT
#if defined(MUTANT_SUM_NP)
#define READ_MARK	m = np
#elif defined(RESIZE)
#define READ_MARK	m = mem[MARK]
#else
#define READ_MARK	m = 2
#endif

/*
 * A sum reads the mark, then one word at a time, P by P. The mark is read anew
 * for the entries (sign 1), after the membarrier.
 */
#ifdef MUTANT_MARK_ONCE
#define READ(sign) \
	if \
	:: sign == 1 \
	:: else -> READ_MARK \
	fi
#else
#define READ(sign)	READ_MARK
#endif

inline sum_both(W, sign)
{
	READ(sign);
	if
	:: m > 0 ->
		d[0] = d[0] + sign * mem[W];
		d[1] = d[1] + sign * mem[W + 1]
	:: else
	fi;
	if
	:: m > 1 ->
		d[0] = d[0] + sign * mem[W + 2];
		d[1] = d[1] + sign * mem[W + 3]
	:: else
	fi
}
inline sum(W, j, sign)
{
	READ(sign);
	if
	:: m > 0 -> diff = diff + sign * mem[W + j]
	:: else
	fi;
	if
	:: m > 1 -> diff = diff + sign * mem[W + 2 + j]
	:: else
	fi
}

/* Every P that exists may have seen an exit. */
inline raise_readers()
{
#if defined(RESIZE) && !defined(MUTANT_NO_RAISE)
	m = np;
	d_step {
		if
		:: mem[MARK] < m -> mem[MARK] = m
		:: else
		fi
	}
#else
	skip
#endif
}

/* And so may one that is gone. */
inline find_readers()
{
#if defined(RESIZE) && !defined(MUTANT_NO_FIND)
	m = mem[MARK];
	if
	:: m == 0 && (mem[UNLOCKS + 0] != 0 || mem[UNLOCKS + 1] != 0) ->
		d_step { mem[MARK] = (mem[MARK] < 1 -> 1 : mem[MARK]) }
	:: else
	fi;
	if
	:: m < 2 && (mem[UNLOCKS + 2] != 0 || mem[UNLOCKS + 3] != 0) ->
		REACHED_IF(5, np == 1);
		mem[MARK] = 2
	:: else
	fi
#else
	skip
#endif
}

inline drain(c, j)
{
	do
	:: raise_readers();
#if defined(MUTANT_LOCKS_FIRST)
	   sum(LOCKS, j, 1);
	   MEMBARRIER(c);
	   sum(UNLOCKS, j, -1);
#elif defined(MUTANT_NO_MB_DRAIN)
	   sum(UNLOCKS, j, -1);
	   sum(LOCKS, j, 1);
#elif defined(MUTANT_MB_DRAIN_FIRST)
	   MEMBARRIER(c);
	   sum(UNLOCKS, j, -1);
	   sum(LOCKS, j, 1);
#else
#ifndef SAFE_NO_BARE
	   /* A bare look first. */
	   sum(UNLOCKS, j, -1);
	   sum(LOCKS, j, 1);
	   if
	   :: COUNT(diff) == 0 ->
#endif
		sum(UNLOCKS, j, -1);
		MEMBARRIER(c);
		sum(LOCKS, j, 1);
#ifndef SAFE_NO_BARE
		REACHED_IF(9, diff != 0)
	   :: else
	   fi;
#endif
#endif
	   if
	   :: COUNT(diff) == 0 -> break
	   :: else -> d_step { diff = 0; tick = !tick }
	   fi;
	   if
	   :: !tick -> find_readers()
	   :: else
	   fi
	od;
	m = 0;
	tick = 0	/* and diff is 0 */
}
#endif

#ifdef HAS_PINNED
#define PIN_WORDS \
	byte snap[2]; \
	bool wait[2]; \
	byte ps = 2;	/* GOMAXPROCS, as the driver has read it */

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
#else
	SNAP_QS(c);
	SNAP_NEST(c)
#endif
}

inline leaves(c)
{
	d_step {
		(!wait[c] || LEFT(c)) ->
		REACHED_IF(3, wait[c] && mem[NEST(c)] != 0);
		wait[c] = 0;
		snap[c] = 0
	}
}
#else
#define PIN_WORDS
#endif

#if defined(HAS_PINNED) && defined(RESIZE)
#define READ_NP	ps = np
#else
#define READ_NP	skip
#endif

#ifdef CALLERS
#define ON_P0	false	/* no goroutine is pinned on P 0 */
#else
#define ON_P0	true
#endif
#if defined(PINNED) || defined(CALLERS)
#define ON_P1	true
#else
#define ON_P1	false
#endif

/* One grace period, driven by CPU c. */
inline drive(c)
{
#ifdef MUTANT_NP_BEFORE_1
	READ_NP;
#endif
#ifdef MUTANT_START_AFTER_A
	MB_A(c);
#endif
	d_step { QUIET(c); seq++ };			/* 1 */

#ifdef HAS_PREEMPT
#ifdef MUTANT_LOCKS_FIRST
	sum_both(LOCKS, 1);
#else
	sum_both(UNLOCKS, -1);				/* 2 */
#endif
#endif
#ifdef MUTANT_SNAP_BEFORE_A
	SNAP_QS(0);
	SNAP_QS(1);
#endif
#ifdef SAFE_NP_BEFORE_A
	READ_NP;
#endif
#ifndef MUTANT_START_AFTER_A
	MB_A(c);					/* 3 */
#endif
#ifdef HAS_PREEMPT
#ifdef MUTANT_LOCKS_FIRST
	sum_both(UNLOCKS, -1);
#else
	sum_both(LOCKS, 1);				/* 4 */
#endif
	m = 0;
#endif

#ifdef HAS_PINNED
#if !defined(MUTANT_NP_BEFORE_1) && !defined(SAFE_NP_BEFORE_A)
	READ_NP;					/* 5 */
#endif
	if
	:: ON_P0 -> snapshot(0)
	:: else
	fi;
	if
	:: ON_P1 && ps > 1 ->
		snapshot(1);
		REACHED_IF(6, wait[1])
	:: else
	fi;
#ifdef RESIZE
	ps = 0;
#endif
#endif

#ifdef HAS_PREEMPT
#ifdef MUTANT_ONLY_CURRENT
	d[1 - idx] = 0;
#endif
#ifdef MUTANT_ONLY_OTHER
	d[idx] = 0;
#endif
	if
	:: COUNT(d[1 - idx]) != 0 ->
		drain(c, 1 - idx);			/* 6 */
		REACHED(1)
	:: else
	fi;
	if
	:: COUNT(d[idx]) != 0 ->			/* 7 */
#ifdef MUTANT_NO_FLIP
		drain(c, idx)
#else
		idx = 1 - idx;
		drain(c, 1 - idx);
		REACHED(2)
#endif
	:: else
	fi;
	d_step { d[0] = 0; d[1] = 0 };
#endif

#ifdef HAS_PINNED
	if
	:: ON_P0 -> leaves(0)				/* 8 */
	:: else
	fi;
	if
	:: ON_P1 -> leaves(1)
	:: else
	fi;
#endif
#ifndef MUTANT_B_AFTER_10
	MB_B(c);					/* 9 */
#endif
	seq++						/* 10 */
#ifdef MUTANT_B_AFTER_10
	;
	MB_B(c)
#endif
}

/* The callers. */

#ifdef MUTANT_RIDE
#define COOKIE	((seq + 2) & 254)	/* the end of the one that runs */
#else
#define COOKIE	((seq + 3) & 254)
#endif

/* Synchronize: the cookie, then as many grace periods as that takes. */
inline synchronize(c)
{
#ifdef MUTANT_PLAIN_COOKIE
	cookie = COOKIE;
#elif defined(TSO)
	QUIET(c);		/* a fence; the load may come later */
	cookie = COOKIE;
#else
	d_step { QUIET(c); cookie = COOKIE };
#endif
	do
	:: seq >= cookie -> break
	:: else ->
#ifndef MUTANT_NO_MU
		atomic { !mu -> mu = 1 };
#endif
		if
		:: seq < cookie -> drive(c)
		:: else -> REACHED(4)
		fi;
		mu = 0
	od;
	cookie = 0
}

#ifdef MUTANT_NO_MU
active [2] proctype caller()
#else
active proctype caller()
#endif
{
	byte round, cookie;
	COUNT_WORDS
	PIN_WORDS
	do
	:: round < ROUNDS ->
#ifndef CALLERS
		d_step { ROOM(2, 1); STORE(2, PTR, round + 1) };
#endif
		synchronize(2);
#ifndef CALLERS
		freed[round] = 1;
#endif
		round++
	:: else -> break
	od;
	ended++
}

#ifdef CALLERS
active proctype caller2()
{
	byte cookie;
	PIN_WORDS
	d_step { ROOM(0, 1); STORE(0, PTR, 1) };
	synchronize(0);
	freed[0] = 1;
	ended++
}
#endif

#ifdef LIVE
/* Grace periods end. */
ltl live { <> (ended == ALL_ENDED) }
#endif
