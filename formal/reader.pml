/*
 * Registered readers (rcu/registered.go, rcu/registry.go) and the grace periods
 * that wait for them; the numbers are the steps in rcu/doc.go.
 *
 * CPU 0 and CPU 1 run the goroutines of two Readers, each of which may move to
 * the other CPU inside any section. Both use the one slot, one after the other:
 * Reader 0 has two sections, the second with one nested in it, and is then
 * closed, or is dropped at any moment of the second one. Reader 1 registers when
 * the slot is free and has one section. CPU 2 unlinks an object, drives a grace
 * period, frees the object; ROUNDS times.
 *
 * -DFOREVER: Reader 0 has section after section, and there is no Reader 1.
 */
#ifndef ROUNDS
#define ROUNDS	2
#endif

#define NCPU	3
#define NSB	3

#define PTR	0
#define WORD	1	/* nest in the lower two bits, qs above */
#define NLOC	2
#define NEST(w)	((w) & 3)
#define QS(w)	((w) >> 2)

byte on[2] = { 0, 1 };	/* CPU that the goroutine runs on */

#ifdef WEAK
/* As in gp.pml: a load of the pointer and the use of the object, late or early. */
byte togo[2];
mtype = { PTR_LATE, PTR_HERE, BOTH_LATE, USE_LATE };
mtype pend[2];
byte obj[2];
#define LATE1(c, r)	(on[r] == (c) && pend[r] != 0 && pend[r] != PTR_HERE)
#define LATE(c)		(LATE1(c, 0) || LATE1(c, 1))
#define EARLY1(c, r)	(on[r] == (c) && togo[r] != 0)
#define LATE_PTR1(c, r)	(on[r] == (c) && (pend[r] == PTR_LATE || pend[r] == BOTH_LATE))
#define EARLY_LOC(c)	PTR
#define EARLY_OK(c)	((EARLY1(c, 0) || EARLY1(c, 1)) && \
			 !LATE_PTR1(c, 0) && !LATE_PTR1(c, 1))
#endif

#include "memory.pml"

/* Atomic words: all accesses are Go atomics. */
bool live;		/* the slot has an owner */
bool used;		/* it was taken by Reader 0 */
bool lost;		/* its Reader was dropped in a section */
bool unreachable;	/* Reader 0 was dropped */

bool freed[ROUNDS + 1];
bool ended;

#define USE(o)	assert(!freed[o])	/* no reader uses a freed object */

inline section(r, c)
{
#ifdef WEAK
	atomic {
		pend[r] == 0;
		togo[r]--;
		if
		:: pend[r] = PTR_LATE; DROP_EARLY(c)
		:: early[c] != 0 -> REACHED(1); pend[r] = PTR_HERE; obj[r] = early[c] - 1
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
	d_step { USE(p); REACHED_IF(2, p != mem[PTR]); p = 0 }
#endif
}

#ifdef WEAK
#define HW_LATE(r) \
	:: d_step { pend[r] == PTR_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = PTR_HERE } \
	:: d_step { pend[r] == BOTH_LATE -> LOAD(on[r], PTR, obj[r]); pend[r] = USE_LATE } \
	:: d_step { pend[r] == USE_LATE -> USE(obj[r]); \
		REACHED_IF(2, obj[r] != mem[PTR]); obj[r] = 0; pend[r] = 0 }
#else
#define HW_LATE(r)
#endif

active proctype hw0() { end: do HW(0) HW_LATE(0) od }
active proctype hw1() { end: do HW(1) HW_LATE(1) od }
active proctype hw2() { end: do HW_STEPS(2) HW_LOOSE1(2) HW_LOOSE2(2) od }

/* The goroutine is preempted, or sleeps, and continues on the other CPU. */
inline may_move(r)
{
	if
	:: true
	:: d_step { QUIET(on[r]); DROP_EARLY(on[r]); on[r] = 1 - on[r] }
	fi
}

#ifdef FOREVER
/* The real counter does not come back to a snapshot. */
byte snapped = 2;
#define NEXT(q)	(snapped == 2 || snapped == (q) -> 1 - (q) : (q))
#else
#define NEXT(q)	((q) + 1)
#endif

/*
 * One access of the word: a load, then a store, of the owner alone. The goroutine
 * may be preempted between them.
 */
inline load(r)
{
	d_step { LOAD(on[r], WORD, w) }
}

inline enter(r)
{
	d_step { ROOM(on[r], 1); STORE(on[r], WORD, w + 1); w = 0 }
}

inline leave(r)
{
	d_step {
		ROOM(on[r], 1);
		LOAD(on[r], WORD, w);
		if
		:: NEST(w) == 1 -> STORE(on[r], WORD, NEXT(QS(w)) << 2)
		:: else -> STORE(on[r], WORD, w - 1)
		fi;
		w = 0
	}
}

/* take, after the slot was found free: the bit by a read-modify-write. */
inline register(r)
{
#ifndef MUTANT_LIVE_LATE
	d_step { QUIET(on[r]); DROP_EARLY(on[r]); live = 1 }
#else
	skip
#endif
}
inline register_late(r)
{
#ifdef MUTANT_LIVE_LATE
	d_step { QUIET(on[r]); DROP_EARLY(on[r]); live = 1 }
#else
	skip
#endif
}

inline simple(r)
{
#ifdef MUTANT_LATE_ENTRY
	section(r, on[r]);
	load(r);
	enter(r);
	may_move(r);
#else
	load(r);
	enter(r);
	may_move(r);
#ifdef MUTANT_EARLY_EXIT
	leave(r);
	section(r, on[r])
#else
	section(r, on[r]);
#endif
#endif
#ifndef MUTANT_EARLY_EXIT
	may_move(r);
	leave(r)
#endif
}

active proctype reader0()
{
	byte w;
#ifdef TSO
	byte p;
#else
	togo[0] = 2;
#endif
	register(0);
	used = 1;
#ifdef FOREVER
	do
	:: simple(0)
	od
#else
	simple(0);
	register_late(0);

	load(0);
#ifdef MUTANT_NO_KEEPALIVE
	/* The last use of the Reader was the load of its slot. */
	unreachable = 1;
#endif
	enter(0);
	if
	:: true
	:: unreachable = 1; REACHED(3)		/* its guard ends the section */
	fi;
	section(0, on[0]);
	may_move(0);
	if
	:: !unreachable -> load(0); enter(0); leave(0)
	:: else
	fi;
	leave(0);
	if
	:: unreachable
	:: !unreachable ->
		if
		:: unreachable = 1
		:: d_step { QUIET(on[0]); DROP_EARLY(on[0]); live = 0 }	/* Close */
		fi
	fi
#endif
}

#ifndef FOREVER
/* The collector finds the Reader unreachable, with the world stopped in between. */
active proctype collector()
{
	bool gone;
end:	unreachable;
	d_step {
		mb_todo == 0 && QUIET(0) && QUIET(1) && QUIET(2) ->
		DROP_EARLY(0);
		DROP_EARLY(1)
	};
	gone = (NEST(mem[WORD]) == 0);
#ifdef MUTANT_FREE_OPEN
	gone = 1;
#endif
	if
	:: gone -> live = 0
	:: else -> lost = 1; REACHED(4)
	fi;
	gone = 0
}

active proctype reader1()
{
	byte w;
#ifdef TSO
	byte p;
#else
	togo[1] = 1;
#endif
end:	if
	:: used && !live
	:: lost && NEST(mem[WORD]) == 0 -> live = 0	/* reapLost */
	fi;
	register(1);
	REACHED_IF(5, lost);
	simple(1);
	register_late(1);
	d_step { QUIET(on[1]); DROP_EARLY(on[1]); live = 0 }
}
#endif

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

#if defined(MUTANT_NEST_ALONE)
#define LEFT	(NEST(mem[WORD]) == 0)
#elif defined(MUTANT_NO_WAIT)
#define LEFT	true
#else
#define LEFT	(QS(mem[WORD]) != snap)
#endif

#ifdef FOREVER
#define SNAPPED	snapped = snap
#else
#define SNAPPED	skip
#endif

inline see()
{
	d_step {
		wait = (NEST(mem[WORD]) != 0);
		snap = QS(mem[WORD]);
		SNAPPED
	}
}

active proctype driver()
{
	byte round, snap;
	bool wait, l;
	do
	:: round < ROUNDS ->
		d_step { ROOM(2, 1); STORE(2, PTR, round + 1) };
#ifdef MUTANT_LIVE_BEFORE_1
		l = live;
#endif
		d_step { QUIET(2) };				/* 1 */
#ifdef MUTANT_SEE_BEFORE_A
		l = live;
		see();
#endif
		MB_A(2);					/* 3 */
#ifndef MUTANT_SEE_BEFORE_A
#ifndef MUTANT_LIVE_BEFORE_1
		l = live;					/* 5 */
#endif
		if
		:: l -> see()
		:: else
		fi;
#endif
		if
		:: l && wait ->
end_wait:		LEFT;			/* 8; that it ends is a claim of -DLIVE */
			REACHED_IF(6, NEST(mem[WORD]) != 0)
		:: else
		fi;
		d_step { wait = 0; snap = 0; l = 0 };
		MB_B(2);					/* 9 */
		freed[round] = 1;
		round++
	:: else -> break
	od;
	ended = 1
}

#ifdef LIVE
/* Grace periods end. */
ltl live_ { <> ended }
#endif
