/*
 * Cookies and whole-sheaf hand-over.
 *
 * CPU 0: the owner P, which unlinks objects and puts them into its sheaf
 *        (or, with -DDIRECT, unlinks one, takes a cookie itself and waits)
 * CPU 1: a pinned reader
 * CPU 2: the grace-period driver
 * The worker and the allocator only act behind full barriers; what they store
 * is visible at once, which is the worst case for a reader.
 */
#define NCPU	3
#define NSB	3
#define CAP	3	/* capacity of the sheaf */

#define PTR	0
#define SEQ	1	/* odd: a grace period is in progress */
#define NEST	2
#define QS	3
#define SLOT(i)	(4 + (i))
#define NLOC	(4 + CAP)

#ifndef SPARE
#define SPARE	2	/* grace periods that start without having been asked for */
#endif

#ifdef WEAK
/* See readers.pml. */
byte togo = 2;
mtype = { PTR_LATE, PTR_HERE, BOTH_LATE, USE_LATE };
mtype pend;
byte obj;
#define LATE(c)		((c) == 1 && pend != 0 && pend != PTR_HERE)
#ifdef MUTANT_PLAIN_COOKIE
bool cookie_togo = 1;
#define EARLY_LOC(c)	((c) == 0 -> SEQ : PTR)
#define EARLY_OK(c)	((c) == 0 -> cookie_togo : \
			 togo != 0 && pend != PTR_LATE && pend != BOTH_LATE)
#else
#define EARLY_LOC(c)	PTR
#define EARLY_OK(c)	((c) == 1 && togo != 0 && pend != PTR_LATE && pend != BOTH_LATE)
#endif
#endif

#include "memory.pml"

/* Every object is published once, with content 0; its next owner writes 1. */
bool content[CAP + 1];
#define USE(o)	assert(content[o] == 0)	/* no reader sees an object change hands */

byte cookie;
bool pushed;	/* the sheaf is on the pending stack */
byte need;	/* what the worker has asked the driver for */
bool finished;

#ifdef WEAK
#define HW_LATE() \
	:: d_step { pend == PTR_LATE -> LOAD(1, PTR, obj); pend = PTR_HERE } \
	:: d_step { pend == BOTH_LATE -> LOAD(1, PTR, obj); pend = USE_LATE } \
	:: d_step { pend == USE_LATE -> USE(obj); obj = 0; pend = 0 }
#else
#define HW_LATE()
#endif

active proctype hw0() { end: do HW(0) od }
active proctype hw1() { end: do HW(1) HW_LATE() od }

/* The reader. */

inline add(c, l, d)
{
	d_step {
		ROOM(c, 1);
		LOAD(c, l, t);
		STORE(c, l, t + (d));
		t = 0
	}
}

inline section()
{
	add(1, NEST, 1);
#ifdef WEAK
	atomic {
		pend == 0;
		togo--;
		if
		:: pend = PTR_LATE; DROP_EARLY(1)
		:: early[1] != 0 -> pend = PTR_HERE; obj = early[1] - 1
		fi
	};
	d_step {
		if
		:: pend == PTR_LATE -> pend = BOTH_LATE
		:: else -> pend = USE_LATE
		fi
	};
#else
	d_step { LOAD(1, PTR, p) };
	d_step { USE(p); p = 0 };
#endif
	add(1, NEST, -1);
	add(1, QS, 1)
}

active proctype reader()
{
	byte t;
#ifdef TSO
	byte p;
#endif
	section();
	section()
}

/* The grace-period driver. */

#ifdef MUTANT_NO_MB_A
#define MB_A()	NO_MEMBARRIER(2)
#else
#define MB_A()	MEMBARRIER(2)
#endif
#if defined(TSO) || defined(MUTANT_NO_MB_B)
#define MB_B()	NO_MEMBARRIER(2)
#else
#define MB_B()	MEMBARRIER(2)
#endif

inline seq_step()
{
	mem[SEQ] = mem[SEQ] + 1		/* a read-modify-write; CPU 2 never buffers */
}

active proctype driver()
{
	byte spare = SPARE;
	byte snap;
	bool wait;
	do
	:: finished -> break
	:: !finished && mem[SEQ] < need || spare > 0 ->
		if
		:: mem[SEQ] < need
		:: else -> spare--
		fi;
#ifdef MUTANT_START_AFTER_A
		MB_A();
		seq_step();
#else
		seq_step();
		MB_A();
#endif
		snap = mem[QS];
		wait = (mem[NEST] != 0);
		(!wait || mem[NEST] == 0 || mem[QS] != snap);
		d_step { wait = 0; snap = 0 };
		MB_B();
		seq_step()
	od
}

/* The owner. */

#ifdef MUTANT_RIDE
#define SNAP(s)	((s | 1) + 1)			/* the end of the one in progress */
#else
#define SNAP(s)	((s & 1) -> s + 3 : s + 2)	/* a full one from now */
#endif

inline take_cookie()
{
#ifdef MUTANT_PLAIN_COOKIE
#ifdef WEAK
	atomic {
		if
		:: early[0] != 0 -> cookie = early[0] - 1
		:: cookie = mem[SEQ]
		fi;
		early[0] = 0;
		cookie_togo = 0;
		cookie = SNAP(cookie)
	}
#else
	cookie = SNAP(mem[SEQ])
#endif
#elif defined(TSO)
	QUIET(0);		/* a fence; the load may come later */
	cookie = SNAP(mem[SEQ])
#else
	d_step {
		QUIET(0);
		DROP_EARLY(0);
		cookie = SNAP(mem[SEQ])
	}
#endif
}

/*
 * WEAK: an exclusive load with acquire, then an exclusive store with release.
 * A plain load that follows may be satisfied between the two.
 */
inline cas()
{
	DROP_EARLY(0);
	d_step { QUIET(0) }
}

inline unlink(n)
{
	d_step { ROOM(0, 1); STORE(0, PTR, n + 1) }
}

inline keep(n)
{
	d_step { ROOM(0, 1); STORE(0, SLOT(n), n + 1) }
}

active proctype owner()
{
#ifdef DIRECT
	unlink(0);
	take_cookie();
	need = cookie;
	mem[SEQ] >= cookie;
	content[0] = 1;
	finished = 1
#else
	unlink(0);
	keep(0);
#ifdef MUTANT_NOT_REFRESHED
	take_cookie();
#endif
	unlink(1);
	keep(1);
#ifdef MUTANT_BEFORE_LAST
	take_cookie();
#endif
	unlink(2);
#ifdef SAFE_BEFORE_KEEP
	take_cookie();
#endif
	keep(2);
	cas();		/* the full sheaf leaves its slot */
#if !defined(MUTANT_NOT_REFRESHED) && !defined(MUTANT_BEFORE_LAST) && !defined(SAFE_BEFORE_KEEP)
	take_cookie();
#endif
	cas();		/* push */
	pushed = 1
#endif
}

#ifndef DIRECT
inline reuse(i)
{
	assert(mem[SLOT(i)] == i + 1);	/* the sheaf's contents are complete */
	content[mem[SLOT(i)] - 1] = 1
}

active proctype worker()
{
	pushed;
#ifndef MUTANT_NO_WAIT
	need = cookie;
	mem[SEQ] >= cookie;
#endif
	reuse(0);
	reuse(1);
	reuse(2);
	finished = 1
}
#endif

#ifdef LIVE
/* A cookie elapses. */
ltl live { <> finished }
#endif
