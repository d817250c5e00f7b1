/*
 * Revoking an array that stays in its place: a flag instead of a sentinel.
 *
 * CPU 0: the owner P; each operation adds to the array and counts it
 * CPU 1: the taker, which takes all there is, TAKES times
 *
 * The array is one word, the number of entries.
 */
#define NCPU	2
#define NSB	4
#ifndef OPS
#define OPS	5
#endif
#ifndef TAKES
#define TAKES	3
#endif

#define BUSY	0
#define REVOKED	1
#define ARRAY	2
#define NLOC	3

#ifdef WEAK
/*
 * The owner's load of the array depends on that of the flag by a branch only,
 * so it may come first. (ACQUIRE: not before the flag's, see below.)
 */
bool togo = 1;
#define EARLY_LOC(c)	ARRAY
#define EARLY_OK(c)	((c) == 0 && togo)
#endif

#include "memory.pml"

byte added, removed;
bool taken;
byte ended;

active proctype hw0() { end: do HW(0) od }
active proctype hw1() { end: do HW_STEPS(1) HW_LOOSE1(1) HW_LOOSE2(1) HW_LOOSE3(1) od }

inline count()
{
	d_step {
		ended++;
		if
		:: ended == 2 -> assert(mem[ARRAY] == added - removed)	/* none lost, none twice */
		:: else
		fi
	}
}

active proctype owner()
{
	byte ops, f, n;

	do
	:: ops < OPS ->
		ops++;
		d_step { ROOM(0, 1); STORE(0, BUSY, 1) };
		d_step {
			LOAD(0, REVOKED, f)
#ifdef ACQUIRE
			;
			DROP_EARLY(0)
#endif
		};
		if
		:: f == 0 ->
#ifdef WEAK
			atomic {
				if
				:: early[0] != 0 -> n = early[0] - 1
				:: d_step { LOAD(0, ARRAY, n) }
				fi;
				early[0] = 0;
				togo = (ops < OPS)
			};
#else
			d_step { LOAD(0, ARRAY, n) };
#endif
			d_step {
				ROOM(0, 1);
				assert(!taken);		/* never two owners at once */
				STORE(0, ARRAY, n + 1);
				added++;
				n = 0
			}
		:: else -> f = 0
		fi;
		d_step { ROOM(0, 1); STORE(0, BUSY, 0) }
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
#if defined(TSO) || defined(ACQUIRE) || defined(MUTANT_NO_MB_3)
#define MB_3()	NO_MEMBARRIER(1)
#else
#define MB_3()	MEMBARRIER(1)
#endif

active proctype taker()
{
	byte takes, n;

	do
	:: takes < TAKES ->
#ifdef MUTANT_TAKE_STORE
		d_step { ROOM(1, 1); STORE(1, REVOKED, 1) };
#else
		d_step { QUIET(1); mem[REVOKED] = 1 };
#endif
		MB_1();
#ifndef MUTANT_NO_BUSY
		mem[BUSY] == 0;
#endif
		MB_2();
		d_step { taken = 1; LOAD(1, ARRAY, n) };
		d_step { ROOM(1, 1); STORE(1, ARRAY, 0); removed = removed + n; n = 0 };
		MB_3();
#ifdef MUTANT_NO_RELEASE
		d_step { ROOM(1, 1); taken = 0; STORE(1, REVOKED, 0) };
#else
		/* a release: its own stores are visible by then */
		d_step { QUIET(1); taken = 0; mem[REVOKED] = 0 };
#endif
		takes++
	:: else -> break
	od;
	QUIET(1);
	count()
}

#ifdef LIVE
/* Everyone ends. */
ltl live { <> (ended == 2) }
#endif
