/*
 * Workers that start when there is work and end when there is none: a flag
 * says that one runs.
 *
 * CPU 0 and 1: makers of work, twice each: publish it, then check the flag
 * CPU 2 and 3: the worker, in up to two incarnations at a time
 *
 *   (default)  work is pushed: the service of slab, rcu's callbacks
 *   -DDRAIN    work is a sheaf in a slot, to which the slot's owner may add
 *              without a check of the flag: the drain of slab
 *   -DPOLL     work is a cookie that is higher than the highest so far: the
 *              worker of rcu.StartPoll
 */
#define NCPU	4
#define NSB	2

#define FLAG	0		/* running, reclaiming, draining, working */
#define WORK(c)	(1 + (c))	/* what CPU c has published (POLL: target is WORK(0)) */
#define TARGET	WORK(0)
#define NLOC	3

#include "memory.pml"

byte started;		/* workers that were started and do not run yet */
byte running;		/* those that run, or check for the last time */
byte inside;		/* those that have the flag */
byte made;		/* CPUs 0 and 1 that are done */
byte sum;		/* objects (cookies) made */
byte finished;		/* objects (POLL: the highest cookie) worked off */

active proctype hw0() { end: do HW(0) od }
active proctype hw1() { end: do HW(1) od }
active proctype hw2() { end: do HW(2) od }
active proctype hw3() { end: do HW(3) od }

/* Sets the flag, and starts the worker if it was clear: CompareAndSwap. */
inline start(c)
{
	d_step { LOAD(c, FLAG, f) };
	if
	:: f -> f = 0
	:: else ->
#ifdef MUTANT_NO_CAS
		d_step { QUIET(c); mem[FLAG] = 1; started++ }
#else
		d_step {
			QUIET(c);
			if
			:: mem[FLAG] == 0 -> mem[FLAG] = 1; started++
			:: else
			fi
		}
#endif
	fi
}

/* Go's atomics have their effect at once. */
inline publish(c)
{
#ifdef MUTANT_PLAIN_PUBLISH
	d_step { ROOM(c, 1); LOAD(c, WORK(c), f); STORE(c, WORK(c), f + 1); f = 0; sum++ }
#else
	d_step { QUIET(c); mem[WORK(c)] = mem[WORK(c)] + 1; sum++ }
#endif
}

#if defined(DRAIN)
/* The owner's operations and the taker's do not overlap: revoke.pml. */
inline make(c, v)
{
	d_step { QUIET(c); f = (mem[WORK(c)] != 0) };
	if
	:: d_step { f && mem[WORK(c)] != 0 && QUIET(c) -> mem[WORK(c)] = mem[WORK(c)] + 1; sum++; f = 0 }
	:: !f || mem[WORK(c)] == 0 ->
		f = 0;
		publish(c);
		start(c)
	fi
}
#elif defined(POLL)
/* ensure(v) */
inline make(c, v)
{
	do
	:: d_step { LOAD(c, TARGET, f) };
	   if
	   :: f >= v -> break
	   :: d_step {
		f < v && QUIET(c) ->
		if
		:: mem[TARGET] == f -> mem[TARGET] = v
		:: else
		fi
	      }
	   fi
	od;
	f = 0;
	if
	:: finished < v -> start(c)
	:: else
	fi
}
#else
inline make(c, v)
{
#ifdef MUTANT_FLAG_FIRST
	start(c);
	publish(c)
#else
	publish(c);
	start(c)
#endif
}
#endif

active proctype maker0()
{
	byte f;
	make(0, 1);
	make(0, 3);
	made++
}

active proctype maker1()
{
	byte f;
	make(1, 2);
	make(1, 3);
	made++
}

#ifdef POLL
#define LOOK(c)	d_step { LOAD(c, TARGET, w); w = (w > finished) }
#else
#define LOOK(c)	d_step { LOAD(c, WORK(0), w) }; \
		if \
		:: w == 0 -> d_step { LOAD(c, WORK(1), w) } \
		:: else \
		fi
#endif

inline work(c)
{
#ifdef POLL
	finished++
#else
	d_step { QUIET(c); finished = finished + mem[WORK(0)]; mem[WORK(0)] = 0 };
	d_step { QUIET(c); finished = finished + mem[WORK(1)]; mem[WORK(1)] = 0 }
#endif
}

inline incarnation(c)
{
	skip;
end:	if
	:: d_step { started > 0 -> started--; running++ }
	fi;
again:	inside++;
	REACHED_IF(3, running == 2);
	assert(inside == 1);	/* one at a time */
	do
	:: LOOK(c);
	   if
	   :: w == 0 -> break
	   :: else -> w = 0; work(c)
	   fi
	od;
#ifdef MUTANT_LOOK_FIRST
	skip;
	LOOK(c);
#endif
	inside--;
#ifdef MUTANT_PLAIN_CLEAR
	d_step { ROOM(c, 1); STORE(c, FLAG, 0) };
#else
	d_step { QUIET(c); mem[FLAG] = 0 };
#endif
#if !defined(MUTANT_NO_SECOND_LOOK) && !defined(MUTANT_LOOK_FIRST)
	LOOK(c);		/* something may have come in between */
#endif
	if
	:: w != 0 ->
		w = 0;
		d_step {
			QUIET(c);
			if
			:: mem[FLAG] == 0 -> mem[FLAG] = 1; w = 1
			:: else
			fi
		};
		if
		:: w -> w = 0; REACHED(1); goto again
		:: else -> REACHED(2)
		fi
	:: else
	fi;
	running--;
	goto end
}

active proctype worker0()
{
	byte w;
	incarnation(2)
}

active proctype worker1()
{
	byte w;
	incarnation(3)
}

#ifdef POLL
#define ALL_DONE	(finished == 3)
#else
#define ALL_DONE	(finished == sum && mem[WORK(0)] == 0 && mem[WORK(1)] == 0)
#endif

/* Nothing is pending while no worker runs. */
active proctype idle()
{
	made == 2 && started == 0 && running == 0 &&
	QUIET(0) && QUIET(1) && QUIET(2) && QUIET(3) -> assert(ALL_DONE)
}

#ifdef LIVE
/* All work gets done. */
ltl live { <> (made == 2 && ALL_DONE) }
#endif
