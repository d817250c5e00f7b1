/*
 * The slots of a wide bucket: entries that are replaced, removed and inserted while
 * readers read, and slots that are used again after a grace period.
 *
 * A bucket of NSLOT slots: the word META (its version), the word LOW (a tag for each
 * slot), and a key and a value for each slot. A tag is 0 (clean), 1 (dead) or 2: all
 * keys here have the same. Key A stays, and is replaced; key B comes and goes; key C
 * is never there, and is the number of a cookie. A value says whose it is.
 *
 * CPU 0: the writer, who has the lock. Readers store nothing, and have no buffer.
 */
#ifndef READERS
#define READERS	1
#endif
#ifndef OPS
#define OPS	3	/* of the writer */
#endif
#ifndef NSLOT
#define NSLOT	3
#endif

#define NCPU	1
#define NSB	4
#define META	0
#define LOW	1
#define KEY(s)	(2 + (s))
#define VAL(s)	(2 + NSLOT + (s))
#define NLOC	(2 + 2 * NSLOT)

#include "memory.pml"

#define A	1
#define B	2
#define C	3
#define COOKIE	4	/* one whose hash has another tag */
#define VALUE(k) (10 * (k))	/* + 0 to 9 */
#define OF(v)	((v) / 10)

#define TAG(low, s) (((low) >> (2 * (s))) & 3)
#define WITH(low, s, t) (((low) & ~(3 << (2 * (s)))) | ((t) << (2 * (s))))

/* Stores that others order by: releases. */
#ifdef WEAK
#define RELEASE(l, v) d_step { QUIET(0); mem[l] = v }
#else
#define RELEASE(l, v) d_step { ROOM(0, 1); STORE(0, l, v) }
#endif

/* Grace periods (gp.pml has them): a slot waits for the sections that exist at the
   moment of its cookie. */
byte section;		/* readers in one */
byte waits[NSLOT];
byte version;
bool there = 1;		/* B is in the bucket, for those who begin to look */
bool finished;

inline retire(s) { waits[s] = section }

byte low;		/* the writer's copy, and what it does */
byte at, to, serial;
byte key;

/* The first slot that can be used, or NSLOT. */
inline clean()
{
	d_step {
		to = 0;
		do
#ifdef MUTANT_AT_ONCE
		:: to < NSLOT && TAG(low, to) == 2 -> to++
#else
		:: to < NSLOT && (TAG(low, to) == 2 || TAG(low, to) == 1 && waits[to] != 0) -> to++
#endif
		:: else -> break
		od
	}
}

/* The slot of a key, or NSLOT. */
inline find(k)
{
	d_step {
		at = 0;
		do
		:: at < NSLOT && !(TAG(low, at) == 2 && whose[at] == (k)) -> at++
		:: else -> break
		od
	}
}
byte whose[NSLOT];

inline fill(s, k)
{
	d_step { serial = (serial + 1) % 10; whose[s] = k };
	d_step { ROOM(0, 1); STORE(0, VAL(s), VALUE(k) + serial) };
	RELEASE(KEY(s), k);
	low = WITH(low, s, 2);
	RELEASE(LOW, low)
}

inline kill(s)
{
	low = WITH(low, s, 1);
#ifdef MUTANT_EARLY_COOKIE
	/* No read-modify-write: the cookie is taken while the tag is in the buffer. */
	d_step { ROOM(0, 1); STORE(0, LOW, low); retire(s) };
#else
	d_step { QUIET(0); mem[LOW] = low };
	d_step { retire(s) };
#endif
	/* The cookie takes the key's place. */
#ifdef MUTANT_ANY_COOKIE
	RELEASE(KEY(s), C);
#else
	RELEASE(KEY(s), COOKIE);
#endif
}

inline moved()
{
	version = version + 1;
	RELEASE(META, version)
}

active proctype writer()
{
	byte ops;
	/* A in slot 0, B in slot 1. */
	atomic {
		mem[LOW] = 2 | 2 << 2; low = mem[LOW];
		mem[KEY(0)] = A; mem[VAL(0)] = VALUE(A); whose[0] = A;
		mem[KEY(1)] = B; mem[VAL(1)] = VALUE(B); whose[1] = B
	}
	do
	:: ops < OPS ->
		ops++;
		clean();
		if
		:: true ->	/* replace A */
			find(A);
			if
			:: to < NSLOT ->
				fill(to, A);
#ifdef MUTANT_BUMP_LAST
				kill(at);
				moved()
#else
#ifndef MUTANT_NO_BUMP
				moved();
#endif
				kill(at)
#endif
			:: else
			fi
		:: true ->	/* remove B */
			find(B);
			if
			:: at < NSLOT -> kill(at); there = 0; REACHED(1)
			:: else
			fi
		:: true ->	/* insert B */
			find(B);
			if
			:: at == NSLOT && to < NSLOT -> there = 1; fill(to, B); REACHED(2)
			:: else
			fi
		fi
	:: else -> break
	od;
	finished = 1
}

active proctype hw0()
{
end:	do
	HW(0)
	od
}

active [READERS] proctype reader()
{
	byte me, k, meta, lo, v, s, now, tries;
	bool always;
	me = _pid - 2;
	mem[LOW] != 0;	/* the bucket is filled */
	if
	:: k = A
	:: k = B
	:: k = C
	fi;
	atomic { section = section | (1 << me) };
again:
	atomic { meta = mem[META] };
	atomic { lo = mem[LOW]; s = 0 };
	do
	:: s < NSLOT && TAG(lo, s) != 2 -> s++
	:: s < NSLOT && TAG(lo, s) == 2 ->
		atomic { now = mem[KEY(s)] };
		if
		:: now == k ->
			atomic { v = mem[VAL(s)] };
			assert(OF(v) == k);		/* (H-B), (H-C) */
			REACHED_IF(3, tries > 0);
			REACHED_IF(4, TAG(mem[LOW], s) == 1);
			atomic { now = mem[VAL(s)] };
			assert(now == v);		/* (H-C) */
			goto done
		:: else -> s++
		fi
	:: else -> break
	od;
	atomic { now = mem[META] };
	if
	:: now != meta && tries < 3 -> tries++; goto again
	:: now != meta -> goto done	/* enough */
	:: else
	fi;
	assert(k != A);				/* (H-A) */
	REACHED_IF(5, k == B);
done:
	atomic {
		section = section & ~(1 << me);
		s = 0;
		do
		:: s < NSLOT -> waits[s] = waits[s] & ~(1 << me); s++
		:: else -> break
		od
	}
}
