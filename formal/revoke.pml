/*
 * Taking the sheaves out of a P's slots (slab/revoke.go, freeRCUSlow).
 *
 * CPU 0: the owner P, which frees objects 1..OBJECTS, one per operation, each
 *        into the slot of one of the caches
 * CPU 1: the taker (holding takers.mu), which revokes the slots of all caches
 *        TAKES times; its membarriers are for all of them
 *
 * -DDRAIN: one cache, and two callers of drain on CPU 1, whose stores are all
 *        atomic. Whichever has takers.mu drains for both.
 *
 * Sheaf 0 is none. An emptied sheaf is used again, the lowest first.
 */
#define NCPU	2
#ifndef NSB
#define NSB	4
#endif
#ifdef DRAIN
#define CACHES	1
#ifndef OBJECTS
#define OBJECTS	2
#endif
#else
#define CACHES	2
#ifndef OBJECTS
#define OBJECTS	3
#endif
#endif
#ifndef TAKES
#define TAKES	2
#endif
#define SHEAVES	OBJECTS			/* none is empty, but in the pool */
#define CAP	2
#define NONE	255

#define BUSY(k)	(2 * (k))
#define SHEAF(k) (1 + 2 * (k))		/* the sheaf in cache k's slot */
#define N(s)	(2 * CACHES - 3 + 3 * (s))	/* its number of objects */
#define OBJ(s, i) (N(s) + 1 + (i))	/* its objects */
#define NLOC	(2 * CACHES + 3 * SHEAVES)

#include "memory.pml"

byte places[OBJECTS + 1];	/* in how many places the object ended up */
bool taken[SHEAVES + 1];	/* the taker owns the sheaf */
bool used[SHEAVES + 1];		/* it is not in the pool */
byte known;			/* objects below or equal were freed, and others know */
bool last;			/* the owner has begun its last operation */
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

/* What was freed before, as m says, is in no slot any more. */
inline found(m)
{
	d_step {
		i = 1;
		do
		:: i <= m -> assert(places[i] == 1); i++
		:: else -> break
		od;
		i = 0;
		m = 0
	}
}

/* The last one to end reads the slots and counts. */
inline count(parties)
{
	d_step {
		ended++;
		if
		:: ended == parties ->
			assert(sb[0].used == 0 && sb[1].used == 0);
			x = 0;
			do
			:: x < CACHES ->
				if
				:: mem[SHEAF(x)] != 0 ->
					n = mem[N(mem[SHEAF(x)])];
					i = 0;
					do
					:: i < n -> places[mem[OBJ(mem[SHEAF(x)], i)]]++; i++
					:: else -> break
					od
				:: else
				fi;
				x++
			:: else -> break
			od;
			i = 1;
			do
			:: i <= OBJECTS -> assert(places[i] == 1); i++	/* none lost */
			:: else -> break
			od;
			i = 0;
			n = 0;
			x = 0
		:: else
		fi
	}
}

active proctype owner()
{
	byte k, s, new, n, i, x;
	byte next = 1;

	do
	:: next <= OBJECTS ->
#ifndef DRAIN
		if
		:: k = 0
		:: k = 1
		fi;
#endif
		d_step { ROOM(0, 1); STORE(0, BUSY(k), 1); last = (next == OBJECTS) };
		d_step { LOAD(0, SHEAF(k), s) };
		d_step { if :: s != 0 -> LOAD(0, N(s), n) :: else -> n = CAP fi };
		if
		:: n < CAP ->
			d_step {
				ROOM(0, 1);
				assert(!taken[s]);
				STORE(0, OBJ(s, n), next)
			};
			d_step {
				ROOM(0, 1);
				assert(!taken[s]);	/* never two owners at once */
				STORE(0, N(s), n + 1)
			}
		:: else ->
			/* The slot is empty until the new sheaf is in. */
#ifdef MUTANT_OUT_LOAD_STORE
			d_step { LOAD(0, SHEAF(k), s) };
			d_step { QUIET(0); mem[SHEAF(k)] = 0 };
#else
			d_step { QUIET(0); s = mem[SHEAF(k)]; mem[SHEAF(k)] = 0 };
#endif
			d_step {	/* from a lock-free stack */
				QUIET(0);
				new = 1;
				do
				:: used[new] -> new++
				:: else -> break
				od;
				used[new] = true
			};
			d_step { ROOM(0, 1); STORE(0, OBJ(new, 0), next) };
			d_step { ROOM(0, 1); STORE(0, N(new), 1) };
#ifdef SAFE_INSTALL_STORE
			d_step { ROOM(0, 1); STORE(0, SHEAF(k), new) };
#else
			d_step { QUIET(0); mem[SHEAF(k)] = new };
#endif
			if
			:: s != 0 ->
				/* The old one is the owner's own, and pending. */
				assert(!taken[s]);
				collect(0, s)
			:: else
			fi
		fi;
		d_step { ROOM(0, 1); STORE(0, BUSY(k), 0); next++; k = 0; s = 0; new = 0; n = 0 };
		if
		:: d_step { QUIET(0); known = next - 1 }
		:: skip
		fi
	:: else -> break
	od;
	QUIET(0);
#ifdef DRAIN
	count(3)
#else
	count(2)
#endif
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

/* grab: the slot is only loaded if it is empty. */
inline grab(k, into)
{
#ifdef MUTANT_LOAD_OLD
	if
	:: round > 0 && wasEmpty[k]	/* as the first round has seen it */
	:: else ->
#endif
	d_step { QUIET(1); s = mem[SHEAF(k)] };
#ifdef MUTANT_LOAD_OLD
	wasEmpty[k] = (s == 0);
#endif
	if
	:: s != 0 ->
#ifdef MUTANT_TAKE_LOAD_STORE
		d_step { mem[SHEAF(k)] = 0 };
#else
		d_step { s = mem[SHEAF(k)]; mem[SHEAF(k)] = 0 };
#endif
		d_step {
			if
			:: s != 0 -> into = s
			:: else
			fi;
			s = 0
		}
	:: else -> REACHED_IF(1, round == 0); skip
	fi
#ifdef MUTANT_LOAD_OLD
	fi
#endif
}

/* One round, for the slots of all caches. */
inline take()
{
	grab(0, got[CACHES * round]);
#if CACHES > 1 && !defined(MUTANT_GRAB_LATE)
	grab(1, got[CACHES * round + 1]);
#endif
	MB_1();
#if CACHES > 1 && defined(MUTANT_GRAB_LATE)
	grab(1, got[CACHES * round + 1]);
#endif
#ifndef MUTANT_NO_BUSY
	mem[BUSY(0)] == 0;
#if CACHES > 1 && !defined(MUTANT_BUSY_ONE)
	mem[BUSY(1)] == 0;
#endif
#endif
	MB_2();
	d_step {
		taken[got[CACHES * round]] = true;
#if CACHES > 1
		taken[got[CACHES * round + 1]] = true;
#endif
		taken[0] = false;
		REACHED_IF(2, round == 1 && got[CACHES] != 0);
		round++
	}
}

/* The taken sheaves are empty, and in the pool. */
inline dispose()
{
	do
	:: j < 2 * CACHES ->
		if
		:: got[j] != 0 ->
			collect(1, got[j]);
			d_step {
				QUIET(1);
				mem[N(got[j])] = 0;
				taken[got[j]] = false;
				used[got[j]] = false;
				got[j] = 0
			}
		:: else
		fi;
		j++
	:: else -> break
	od
}

inline revoke()
{
	take();
#ifndef MUTANT_ONE_ROUND
	take();
#endif
	d_step { round = 0; j = 0 };
	dispose();
	j = 0
}

#ifndef DRAIN

active proctype taker()
{
	byte got[2 * CACHES];
	byte s, n, i, j, x, must, round, takes;
	bool alone;
#ifdef MUTANT_LOAD_OLD
	bool wasEmpty[CACHES];
#endif

	do
	:: takes < TAKES ->
		d_step { must = known; alone = last };
		revoke();
		found(must);
		/*
		 * What a slow path had in hand was found by the second round: the
		 * owner has begun no operation since.
		 */
		assert(!alone || (mem[SHEAF(0)] == 0 && mem[SHEAF(1)] == 0));
		d_step { takes++; alone = false }
	:: else -> break
	od;
	QUIET(1);
	count(2)
}

#else

bool locked;		/* takers.mu */
bool asked, asks;	/* the cache's flag; it is on the list */
byte begun;		/* rounds */
byte drainedIn;		/* the cache's last one */

inline drain()
{
#ifdef MUTANT_NUMBER_FIRST
	d_step { before = begun };
	d_step { must = known };
#else
	d_step { must = known };
	d_step { before = begun };
#endif
	if
	:: atomic { !asked -> asked = true }; asks = true
	:: atomic { asked -> REACHED_IF(3, !asks && !locked); skip }
	fi;
	atomic { !locked -> locked = true };
#ifdef MUTANT_NUMBER_LATE
	d_step { number = begun + 1 };
#else
	d_step { begun++; number = begun };
#endif
	d_step { batch = asks; asks = false };
#ifdef SAFE_ASKED_LATE
	d_step { if :: batch -> drainedIn = number :: else fi };
#else
	d_step { if :: batch -> asked = false; drainedIn = number :: else fi };
#endif
	d_step {
		if
#if defined(MUTANT_NO_OWN_LOOK)
#elif defined(MUTANT_JOIN_BEGUN)
		:: drainedIn < before -> drainedIn = number; batch = true
#else
		:: drainedIn <= before -> drainedIn = number; batch = true; REACHED(4)
#endif
		:: else
		fi
	};
	if
	:: batch -> revoke()
	:: else -> REACHED(5)
	fi;
	skip;
#ifdef MUTANT_NUMBER_LATE
	d_step { begun = number };
#endif
#ifdef SAFE_ASKED_LATE
	d_step { if :: batch && !asks -> asked = false :: else fi };
#endif
	d_step { locked = false; batch = false; number = 0; before = 0 };
	found(must)
}

proctype caller(byte drains)
{
	byte got[2 * CACHES];
	byte s, n, i, j, x, must, round, before, number;
	bool batch;
#ifdef MUTANT_LOAD_OLD
	bool wasEmpty[CACHES];
#endif

	do
	:: drains > 0 -> drain(); drains--
	:: else -> break
	od;
	count(3)
}

init
{
	atomic { run caller(1); run caller(2) }
}

#endif

#ifdef LIVE
/* Everyone ends. */
#ifdef DRAIN
ltl live { <> (ended == 3) }
#else
ltl live { <> (ended == 2) }
#endif
#endif
