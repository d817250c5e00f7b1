/*
 * Sharing membarriers (internal/sys/membarrier.go).
 *
 * CPU 0: a pinned reader, with plain stores
 * CPU 1..3: callers; each unlinks its object by a plain store, asks for a
 *        barrier, and frees the object if it then finds no section
 *
 * A caller must not return on the strength of a barrier that began before its
 * store: that one may have visited the reader's CPU already.
 */
#define NCPU	4
#define NSB	2

#define NEST	0
#define BEGUN	1			/* barriers begun, by read-modify-write */
#define ENDED	2			/* the last barrier that ended */
#define LINK(c)	(2 + (c))		/* 0: caller c's object is linked, 1: not */
#define NLOC	6

#ifndef SECTIONS
#define SECTIONS 1
#endif

#include "memory.pml"

bool turn;		/* the leader's lock */
bool freed[NCPU];
byte returned;

active proctype hw0() { end: do HW(0) od }
active proctype hw1() { end: do HW(1) od }
active proctype hw2() { end: do HW(2) od }
active proctype hw3() { end: do HW(3) od }

active proctype reader()
{
	byte x, c, i;
	do
	:: i < SECTIONS ->
		i++;
		if
		:: c = 1
		:: c = 2
		:: c = 3
		fi;
		skip;
		d_step { ROOM(0, 1); STORE(0, NEST, 1) };
		d_step { LOAD(0, LINK(c), x) };
		if
		:: x == 0 -> assert(!freed[c]); assert(!freed[c])
		:: else
		fi;
		x = 0;
		skip;
		d_step { QUIET(0); mem[NEST] = 0 }
	:: else -> break
	od
}

inline number(c)
{
#if defined(MUTANT_PLAIN_NUMBER)
	d_step { LOAD(c, BEGUN, want); want++ }
#elif defined(MUTANT_SHARE_RUNNING)
	d_step { QUIET(c); want = mem[BEGUN]; want = (want == 0 -> 1 : want) }
#else
	d_step { QUIET(c); want = mem[BEGUN] + 1 }
#endif
}

inline lead(c)
{
#ifdef MUTANT_NUMBER_LATE
	MEMBARRIER(c);
	d_step { QUIET(c); mem[BEGUN] = mem[BEGUN] + 1; n = mem[BEGUN] };
#else
	d_step { QUIET(c); mem[BEGUN] = mem[BEGUN] + 1; n = mem[BEGUN] };
#if defined(MUTANT_ENDED_FIRST)
	d_step { QUIET(c); mem[ENDED] = n };
	MEMBARRIER(c);
#elif defined(MUTANT_NO_MB)
	NO_MEMBARRIER(c);
#else
	MEMBARRIER(c);
#endif
#endif
	d_step { QUIET(c); mem[ENDED] = n; n = 0 }
}

inline caller(c)
{
	d_step { ROOM(c, 1); STORE(c, LINK(c), 1) };
	number(c);
	do
	:: d_step { LOAD(c, ENDED, e) };
	   if
	   :: e >= want -> REACHED_IF(1, !led); break
	   :: else
	   fi;
	   skip;
	   d_step { !turn && QUIET(c) -> turn = true };
	   d_step { LOAD(c, ENDED, e) };
	   if
	   :: e < want -> led = true; lead(c)
	   :: else
	   fi;
	   skip;
	   d_step { QUIET(c); turn = false }
	od;
	skip;
	d_step { LOAD(c, NEST, e) };
	if
	:: e == 0 -> REACHED(2); freed[c] = true
	:: else -> REACHED(3)
	fi;
	returned++
}

active proctype caller1() { byte e, n, want; bool led; caller(1) }
active proctype caller2() { byte e, n, want; bool led; caller(2) }
active proctype caller3() { byte e, n, want; bool led; caller(3) }

#ifdef LIVE
ltl live { <> (returned == 3) }
#endif
