/*
 * Revoking a P's main sheaf.
 *
 * CPU 0: the owner P, which stores objects 1..OBJECTS, one per operation
 * CPU 1: the taker (holding the takers' mutex), which revokes TAKES times
 *
 * Sheaf 0 is the sentinel: permanently full and empty (n = 0, cap = 0). The
 * empty sheaves come from a pool, whose lock orders everything; a sheaf the
 * taker has emptied goes back there.
 */
#define NCPU	2
#ifndef NSB
#define NSB	4
#endif
#ifndef OBJECTS
#define OBJECTS	6
#endif
#ifndef TAKES
#define TAKES	3
#endif
#define SHEAVES	4
#define CAP	2

#define BUSY	0
#define SHEAF	1			/* the slot's sheaf */
#define N(s)	(2 + 3 * (s))		/* its number of objects */
#define OBJ(s, i) (3 + 3 * (s) + (i))	/* its objects */
#define NLOC	(2 + 3 * (SHEAVES + 1))

#include "memory.pml"

byte places[OBJECTS + 1];	/* in how many places the object ended up */
bool taken[SHEAVES + 1];	/* the taker owns the sheaf */
chan pool = [SHEAVES] of { byte };
byte ended;

active proctype hw0() { end: do HW(0) od }
active proctype hw1() { end: do HW(1) od }

/* Everything in sheaf s, as CPU c sees it, has found its place. */
inline collect(c, s)
{
	d_step {
		LOAD(c, N(s), n);
		assert(n <= CAP);
		i = 0;
		do
		:: i < n ->
			LOAD(c, OBJ(s, i), x);
			assert(x != 0);			/* no hole */
			places[x]++;
			assert(places[x] == 1);		/* not twice */
			i++
		:: else -> break
		od;
		i = 0;
		x = 0;
		n = 0
	}
}

/* The last one to end reads the slot and counts. */
inline count()
{
	d_step {
		ended++;
		if
		:: ended == 2 ->
			assert(sb[0].used == 0 && sb[1].used == 0);
			n = mem[N(mem[SHEAF])];
			i = 0;
			do
			:: i < n -> places[mem[OBJ(mem[SHEAF], i)]]++; i++
			:: else -> break
			od;
			i = 1;
			do
			:: i <= OBJECTS -> assert(places[i] == 1); i++	/* none lost */
			:: else -> break
			od;
			i = 0;
			n = 0
		:: else
		fi
	}
}

active proctype owner()
{
	byte s, new, n, i, x;
	byte next = 1;

	do
	:: next <= OBJECTS ->
		d_step { ROOM(0, 1); STORE(0, BUSY, 1) };
		d_step { LOAD(0, SHEAF, s) };
		d_step { LOAD(0, N(s), n) };
		if
		:: s != 0 && n < CAP ->
			d_step {
				ROOM(0, 1);
				assert(!taken[s]);
				STORE(0, OBJ(s, n), next)
			};
			d_step {
				ROOM(0, 1);
				assert(!taken[s]);	/* never two owners at once */
				STORE(0, N(s), n + 1);
				n = 0;
				s = 0;
				next++
			};
			d_step { ROOM(0, 1); STORE(0, BUSY, 0) }
		:: else ->
			d_step { ROOM(0, 1); STORE(0, BUSY, 0); n = 0 };
			if
			:: new == 0 ->
				atomic { QUIET(0) && nempty(pool) -> pool?new }	/* under a lock */
			:: else
			fi;
#ifdef MUTANT_INSTALL_STORE
			d_step { ROOM(0, 1); STORE(0, SHEAF, new) };
			new = 0;
#else
			atomic {
				QUIET(0);
				if
				:: mem[SHEAF] == s -> mem[SHEAF] = new; new = 0
				:: else -> s = 0	/* try again */
				fi
			};
#endif
			if
			:: s != 0 ->
				/* The full one is the owner's own, and passed on. */
				assert(!taken[s]);
				collect(0, s)
			:: else
			fi;
			s = 0
		fi
	:: else -> break
	od;
	QUIET(0);
	count()
}

#ifdef MUTANT_NO_MB_1
#define MB_1()	NO_MEMBARRIER(1)
#else
#define MB_1()	MEMBARRIER(1)
#endif
#if defined(TSO) || defined(MUTANT_NO_MB_2)
#define MB_2()	NO_MEMBARRIER(1)
#else
#define MB_2()	MEMBARRIER(1)
#endif

active proctype taker()
{
	byte old, n, i, x;
	byte takes;

	do
	:: takes < TAKES ->
#ifdef MUTANT_TAKE_LOAD_STORE
		d_step { LOAD(1, SHEAF, old) };
		d_step { ROOM(1, 1); STORE(1, SHEAF, 0) };
#else
		d_step { QUIET(1); old = mem[SHEAF]; mem[SHEAF] = 0 };
#endif
		MB_1();
#ifndef MUTANT_NO_BUSY
		mem[BUSY] == 0;
#endif
		MB_2();
		if
		:: old != 0 ->
			taken[old] = 1;		/* from here on */
			collect(1, old);
			d_step { ROOM(1, 1); STORE(1, N(old), 0) };
			atomic {
				QUIET(1);
				assert(mem[N(old)] == 0);
				taken[old] = 0;
				pool!old;
				old = 0
			}
		:: else
		fi;
		takes++
	:: else -> break
	od;
	QUIET(1);
	count()
}

init
{
	d_step { pool!1; pool!2; pool!3; pool!4 }
}

#ifdef LIVE
/* Everyone ends. */
ltl live { <> (ended == 2) }
#endif
