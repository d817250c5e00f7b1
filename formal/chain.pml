/*
 * The fallback chain of slab/chain.go: objects whose free found no array.
 *
 * CPU 0 and 1: P 0 and P 1, on which objects are freed (chainObject)
 * CPU 2: the reclaimer: the worker, or (-DBARRIER) the caller of Barrier
 * -DAGAIN: object 0 has a second owner, who frees it on CPU 1.
 * A reader of object 0, and a second owner of that object, are processes whose
 * accesses are visible at once; gp.pml and handover.pml have the orderings of
 * readers.
 *
 * Slab 1 holds objects 0 and 1, slab 2 holds object 2. A chain of slabs: the
 * number of the first in chain, of the next in chained[]; END after the last;
 * 0: not on the chain.
 */
#define NCPU	3
#define NSB	4
#define END	3
#define OBJECTS	3
#define SLAB(o)	(1 + (o) / 2)
#define BIT(o)	(1 << ((o) & 1))

#ifndef BATCH
#define BATCH	1	/* slabs that share a grace period */
#endif

#define NEST(c)	(c)
#define QS(c)	(2 + (c))
#ifdef BARRIER
#define BUSY(c)	(4 + (c))
#define NLOC	6
#else
#define NLOC	4
#endif

/*
 * WEAK: a compare-and-swap is an exclusive pair. Its store, once it is sure to
 * succeed, may become visible after younger plain stores; an atomic operation
 * on the same word comes after it. That is modelled where
 * plain stores follow: at the push.
 */
byte held;		/* 1 + the CPU whose push is not visible yet */
byte held_slab;
#define LATE(c)	(held == (c) + 1)

#include "memory.pml"

/* Atomic words. */
byte chain;
byte chained[3];	/* pages.Meta.Chained */
byte pend[3];		/* the pending bitmap */

byte waiting[3];	/* the waiting bitmap: the reclaimer's */
byte inuse[3] = { 0, 2, 1 };
bool gone[3];		/* the slab became pages */
bool linked[OBJECTS] = 1;
byte freed[OBJECTS];	/* how often; the second owner of 0 is counted too */
bool again;		/* object 0 had a second owner */
byte done;		/* CPUs that have freed all they free */

/* A claim is only made on a slab. */
#define TOUCH(s)	assert(!gone[s])

active proctype hw0()
{
end:	do
	HW(0)
	:: d_step { held == 1 -> REACHED_IF(8, mem[NEST(0)] == 0); chain = held_slab; held = 0; held_slab = 0 }
	od
}
active proctype hw1()
{
end:	do
	HW(1)
	:: d_step { held == 2 -> chain = held_slab; held = 0; held_slab = 0 }
	od
}

/* The pushers. */

#ifdef WEAK
#define PUSH(c, s)	held = (c) + 1; held_slab = s
#else
#define PUSH(c, s)	chain = s
#endif

inline store(c, l, v)
{
	d_step { ROOM(c, 1); STORE(c, l, v) }
}

/* The slot's busy: only Barrier reads it. */
inline busy(c, v)
{
#ifdef BARRIER
	store(c, BUSY(c), v)
#else
	skip
#endif
}

inline section_begins(c)
{
#ifndef MUTANT_NO_SECTION
	store(c, NEST(c), 1)
#else
	skip
#endif
}

inline section_ends(c)
{
#ifndef MUTANT_NO_SECTION
	store(c, NEST(c), 0);
	d_step { ROOM(c, 1); LOAD(c, QS(c), t); STORE(c, QS(c), t + 1); t = 0 }
#else
	skip
#endif
}

inline chain_object(c, o)
{
	busy(c, 1);
#ifdef MUTANT_BUSY_SHORT
	busy(c, 0);
#endif
	section_begins(c);
#ifdef MUTANT_PLAIN_OR
	t = pend[SLAB(o)];
	d_step { QUIET(c); pend[SLAB(o)] = t | BIT(o); t = 0 };
#elif !defined(MUTANT_CLAIM_FIRST)
	d_step { QUIET(c); pend[SLAB(o)] = pend[SLAB(o)] | BIT(o) };
#endif
#ifdef MUTANT_SHORT_SECTION
	section_ends(c);
#endif
#ifdef MUTANT_CLAIM_STORE
	mine = (chained[SLAB(o)] == 0);
	d_step {
		QUIET(c);
		if
		:: mine -> TOUCH(SLAB(o)); chained[SLAB(o)] = END
		:: else
		fi
	};
#else
	d_step {
		QUIET(c);
		mine = (chained[SLAB(o)] == 0);
		if
		:: mine -> TOUCH(SLAB(o)); chained[SLAB(o)] = END
		:: else
		fi
	};
#endif
#ifdef MUTANT_CLAIM_FIRST
	d_step { QUIET(c); pend[SLAB(o)] = pend[SLAB(o)] | BIT(o) };
#endif
	REACHED_IF(1, !mine);
	do
	:: !mine -> break
	:: else ->
		h = chain;
		d_step { QUIET(c); TOUCH(SLAB(o)); chained[SLAB(o)] = (h == 0 -> END : h) };
		d_step {
			QUIET(c) && held == 0;
			if
			:: chain == h -> mine = 0; PUSH(c, SLAB(o))
			:: else
			fi;
			h = 0
		}
	od;
#ifndef MUTANT_SHORT_SECTION
	section_ends(c);
#endif
#ifndef MUTANT_BUSY_SHORT
	busy(c, 0);
#endif
	skip
}

active proctype pusher0()
{
	byte t, h;
	bool mine;
	linked[0] = 0;
	chain_object(0, 0);
	linked[2] = 0;
	chain_object(0, 2);
	done++
}

bool pushed1;

active proctype pusher1()
{
	byte t, h;
	bool mine;
	linked[1] = 0;
	chain_object(1, 1);
#ifdef BARRIER
	d_step { QUIET(1); pushed1 = 1 };	/* the goroutine continues elsewhere */
#endif
#ifdef AGAIN
	/* An object that has been freed may be allocated (under mu), and freed. */
	if
	:: true
	:: d_step {
		freed[0] == 1 && !gone[1] ->
		inuse[1]++;
		again = 1
	   };
	   REACHED(7);
	   chain_object(1, 0)
	fi;
#endif
	done++
}

/* Object 0's reader. */
byte nest, qs;

active proctype reader()
{
	nest = 1;
	if
	:: linked[0] -> assert(freed[0] == 0)	/* it is not freed under a reader */
	:: else
	fi;
	d_step { nest = 0; qs++ }
}

/* The reclaimer. */

#if defined(TSO) || defined(MUTANT_NO_MB_B)
#define MB_B()	NO_MEMBARRIER(2)
#else
#define MB_B()	MEMBARRIER(2)
#endif

inline gp_begins()
{
	MEMBARRIER(2);
	snap[0] = mem[QS(0)];
	wait[0] = (mem[NEST(0)] != 0);
	snap[1] = mem[QS(1)];
	wait[1] = (mem[NEST(1)] != 0);
	d_step { snap[2] = qs; wait[2] = nest };
	REACHED_IF(4, wait[0] || wait[1]);
	REACHED_IF(5, wait[2])
}

inline gp_ends()
{
	(!wait[0] || mem[NEST(0)] == 0 || mem[QS(0)] != snap[0]);
	(!wait[1] || mem[NEST(1)] == 0 || mem[QS(1)] != snap[1]);
	(!wait[2] || nest == 0 || qs != snap[2]);
	MB_B();
	d_step { wait[0] = 0; wait[1] = 0; wait[2] = 0; snap[0] = 0; snap[1] = 0; snap[2] = 0 }
}

/* Under mu. Every empty slab is one too many. */
inline shed(s)
{
	d_step {
		if
#ifdef MUTANT_SHED_BLIND
		:: inuse[s] == 0 -> assert(!gone[s]); gone[s] = 1
#else
		:: inuse[s] == 0 && chained[s] == 0 -> assert(!gone[s]); gone[s] = 1
#endif
		:: else
		fi
	}
}

/* Slab s leaves the chain, under mu; its bits move. */
inline take_slab()
{
	s = rest;
	TOUCH(s);
#ifdef MUTANT_CLEAR_AFTER_BITS
	rest = chained[s];
	t = pend[s];
	d_step { waiting[s] = waiting[s] | pend[s]; pend[s] = 0 };
	chained[s] = 0;
#elif defined(MUTANT_LINK_AFTER_CLEAR)
	chained[s] = 0;
	rest = chained[s];
	t = pend[s];
	d_step { waiting[s] = waiting[s] | pend[s]; pend[s] = 0 };
#else
	rest = chained[s];
	chained[s] = 0;
	t = pend[s];
	if
	:: t != 0 -> d_step { waiting[s] = waiting[s] | pend[s]; pend[s] = 0 }
	:: else
	fi;
#endif
	d_step { rest = (rest == END -> 0 : rest) };
	if
	:: t != 0 -> d_step { n++; t = 0 }
	:: else ->
		REACHED(2);
#ifndef MUTANT_NO_SHED
		shed(s);
		REACHED_IF(3, gone[s])
#else
		skip
#endif
	fi;
	s = 0
}

/* bulkFree of one object. */
inline free(o)
{
	if
	:: waiting[SLAB(o)] & BIT(o) ->
		d_step {
			assert(!gone[SLAB(o)]);
			waiting[SLAB(o)] = waiting[SLAB(o)] & ~BIT(o);
			freed[o]++;
			assert(inuse[SLAB(o)] > 0);
			inuse[SLAB(o)]--
		};
		shed(SLAB(o))
	:: else
	fi
}

/* reclaimOnce */
inline reclaim()
{
	do
	:: /* one grace period */
#ifdef MUTANT_COOKIE_FIRST
	   gp_begins();
#endif
	   n = 0;
	   if
	   :: rest == 0 -> d_step { held == 0; rest = chain; chain = 0 }
	   :: else
	   fi;
	   do
	   :: rest != 0 && n < BATCH -> take_slab()
	   :: else -> break
	   od;
#ifdef MUTANT_NO_GP
	   skip;
#else
	   if
	   :: n > 0 ->
#ifndef MUTANT_COOKIE_FIRST
		gp_begins();
#endif
		gp_ends()
	   :: else
	   fi;
#endif
	   free(0);
	   free(1);
	   free(2);
	   n = 0;
	   if
	   :: rest == 0 -> break
	   :: else -> REACHED(6)
	   fi
	od
}

active proctype reclaimer()
{
	byte rest, s, t, n;
	byte snap[3];
	bool wait[3];
#ifdef BARRIER
	pushed1;
	/* revokeLocked: a pusher that may be on the way is waited for. */
	MEMBARRIER(2);
	mem[BUSY(0)] == 0;
	mem[BUSY(1)] == 0;
	MB_B();
	reclaim();
	assert(freed[1] == 1);	/* what was freed before Barrier is reclaimed */
#endif
	do
	:: chain != 0 -> reclaim()
	:: done == 2 && held == 0 && chain == 0 -> break
	od;
	/* Nothing is lost, nothing freed twice, and no empty slab is kept. */
	assert(freed[0] == 1 + again && freed[1] == 1 && freed[2] == 1);
	assert(gone[1] && gone[2])
}
