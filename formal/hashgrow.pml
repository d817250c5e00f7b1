/*
 * The hash map's growing and shrinking while readers read.
 *
 * Buckets 0 and 1, and 2 and 3 above them. A table of level 0 has mask 1: child
 * 1 of parent 0. A table of level 1 has mask 3: children 2 and 3 of parents 0
 * and 1, in a segment of its own. Each doubling and halving makes a new table.
 * A bucket: a word (live, locked, by which of a hash's bits it owns entries,
 * version), two slots, and a pointer to an overflow line of one slot. A slot with its tag is one word here: a tag that
 * is not set hides a key as an empty slot does.
 *
 * Node 1 is a key that stays; nodes 2 and 3 are of another key, with -DWRITERS
 * (README.md). Hashes are any.
 *
 * CPU 0, and 1 with -DRESIZERS=2: who splits, merges, doubles and halves
 * the CPUs above: writers
 * Readers store nothing, and have no buffer; their loads are acquires.
 */
#ifndef READERS
#define READERS	1
#endif
#ifndef READS
#define READS	0	/* the key that is looked up */
#endif
#ifndef RESIZERS
#define RESIZERS 1
#endif
#ifndef WRITERS
#define WRITERS	0
#endif
#ifndef OPS
#define OPS	8	/* splits, merges, doublings and halvings, of each */
#endif
#ifndef PUTS
#define PUTS	1	/* of each writer */
#endif
#ifndef NTAB
#define NTAB	3	/* table objects */
#endif
#ifndef LINES
#define LINES	2	/* overflow lines */
#endif

#define NCPU	(RESIZERS + WRITERS)
#define NSB	2

/* Locations. */
#define META(b)	(b)
#define SLOT(b, i) (6 + 2 * (b) + (i))
#define OV(b)	(18 + (b))
#define LINE(l)	(23 + (l))
#define TABLE	27
#define NLOC	28

/* A bucket's word. */
#define LIVE	1
#define LOCK	2
#define BY(n)	((n) << 2)	/* it owns by the lowest n bits, of which it names the last */
#define VERSION	16
#define UNLIKE(v, w) ((((v) ^ (w)) & ~LOCK) != 0)

/*
 * Whether bucket b, with word v, owns the entries of hash h, for which a table
 * leads to b or to its child. Segments have the numbers 2 and 3.
 */
#define NUMBER(b) ((b) < 4 -> (b) : (b) - 2)
#define LAST(v, x) (((v) & BY(3)) == BY(0) -> 0 : (((v) & BY(3)) == BY(1) -> (x) & 1 : (x) & 2))
#ifdef MUTANT_NO_OWNER
#define OWNS(v, b, h) ((v) & LIVE)
#else
#define OWNS(v, b, h) (((v) & LIVE) && LAST(v, h) == LAST(v, NUMBER(b)))
#endif

/*
 * WEAK: Go's atomic store is an STLR: stores before it are visible before it,
 * plain stores after it may overtake it. It is held until the CPU's next atomic
 * access.
 */
byte held[NCPU];	/* 1 + its location */
byte held_val[NCPU];
#define LATE(c)	(held[c] != 0)

#include "memory.pml"

#ifdef WEAK
#define RELEASE(c, l, v) atomic { QUIET(c); held[c] = 1 + (l); held_val[c] = v }
#define HELD(c)	:: d_step { held[c] != 0 -> mem[held[c] - 1] = held_val[c]; held[c] = 0; held_val[c] = 0 }
#else
#define RELEASE(c, l, v) atomic { QUIET(c); mem[l] = v }
#define HELD(c)
#endif

inline OWN(c, l, dst)
{
	LOAD(c, l, dst);
	if
	:: held[c] == 1 + (l) && dst == mem[l] -> dst = held_val[c]
	:: else
	fi
}

/* The cursor of a table: children that are live or were claimed, and operations under way. */
#define BUSY	8
#define FROZEN	128
byte cursor[NTAB];
byte level[NTAB];
byte segment[NTAB];
byte tables = 1;	/* made so far, and segments */
#ifdef FULL
byte segments = 1;
#else
byte segments;
#endif
byte lines;

#define MASK(t)	(level[t] -> 3 : 1)
#define HALF(t)	(level[t] -> 2 : 1)
#define BUCKET(t, i) ((i) < 2 -> (i) : (i) + 2 * segment[t])

/* Keys and nodes. */
byte hash[4];
byte now[2] = { 1, 2 };	/* the node of a key; 0: absent */
bool fresh = 1;		/* node 3 was not put yet */
#define KEY(x)	((x) == 1 -> 0 : 1)

/*
 * Grace periods (gp.pml has them): what is retired waits for the sections that
 * exist at that moment, and for no others.
 */
#define NODE(x)	((x) - 1)
#define OVER(l)	(2 + (l))
#define SEG(g)	(6 + (g))
#define NOBJ	8
byte section;		/* processes in a section */
bool retired[NOBJ];
byte waits[NOBJ];
#define FREED(o) (retired[o] && waits[o] == 0)
byte finished;

inline enter(me)
{
	section = section | (1 << (me))
}

inline leave(me)
{
	d_step {
		section = section & ~(1 << (me));
		k_ = 0;
		do
		:: k_ < NOBJ -> waits[k_] = waits[k_] & ~(1 << (me)); k_++
		:: else -> break
		od;
		k_ = 0
	}
}

inline retire(c, o)
{
	d_step { QUIET(c); assert(!retired[o]); retired[o] = 1; waits[o] = section }
}

#define USE(b)	assert((b) < 2 || !FREED(SEG((b) >= 4)))

active proctype hw0() { end: do HW(0) HELD(0) od }
#if NCPU > 1
active proctype hw1() { end: do HW(1) HELD(1) od }
#endif
#if NCPU > 2
active proctype hw2() { end: do HW(2) HELD(2) od }
#endif

/*
 * locate: the bucket of hash h in table t. Each look is a step; the caller sets
 * m and i by START.
 */
#define START(t, h)	m = MASK(t); i = (h) & m

inline locate(t)
{
	do
	:: d_step {
		m != 0 && i != 0 ->
		USE(BUCKET(t, i));
		if
		:: mem[META(BUCKET(t, i))] & LIVE -> m = 0
		:: else -> m = m >> 1; i = i & m
		fi
	   }
	:: m == 0 || i == 0 -> break
	od
}

/* The reader. */

/* Compares the key of node x, found in a slot: as late as can be. */
inline compare()
{
	if
	:: x != 0 ->
		assert(!FREED(NODE(x)));
		if
		:: KEY(x) == k -> assert(!(unlinked & (1 << x))); found = x
		:: else
		fi;
		x = 0
	:: else
	fi
}

/* Nodes that were taken out. */
byte unlinked_now;

#ifdef MUTANT_NO_TABLE
#define OTHER_TABLE	false
#else
#define OTHER_TABLE	(mem[TABLE] != t)
#endif

proctype reader(byte me; byte k)
{
	byte t, b, v, x, i, m, found, unlinked;

	d_step { section = section | (1 << me); unlinked = unlinked_now };
	/* It begins where its hint says: in the child or in the parent, live or not. */
	atomic {
		t = mem[TABLE];
		i = hash[1 + k] & MASK(t);
		if
		:: true
		:: i >= HALF(t) -> i = i - HALF(t)
		fi
	};
look:
	atomic {
		b = BUCKET(t, i);
		USE(b);
		v = mem[META(b)];
		REACHED_IF(2, !(v & LIVE));
		m = 0;
		i = 0
	};
	x = mem[SLOT(b, 0)];
#ifndef MUTANT_LATE_SLOT
	atomic { compare(); if :: found -> goto done :: else -> x = mem[SLOT(b, 1)] fi };
#endif
	atomic { compare(); if :: found -> goto done :: else -> i = mem[OV(b)] fi };
	if
	:: i != 0 -> d_step { assert(!FREED(OVER(i))); x = mem[LINE(i)]; i = 0 }
	:: i == 0
	fi;
	atomic {
		compare();
		if
		:: found -> goto done
		:: else
		fi;
		/* The bucket's own word says most of the time that the key is absent. */
#ifndef MUTANT_LATE_SLOT
		if
		:: OWNS(v, b, hash[1 + k]) && !UNLIKE(v, mem[META(b)]) -> goto stayed
		:: else
		fi;
#endif
		goto missed
	};
stayed:
	atomic {
		if
		:: OTHER_TABLE -> REACHED(8)
		:: else -> assert(k != 0); goto done
		fi
	};
	/* Else it looks closer. */
missed:
	atomic {
#ifdef MUTANT_VERSION_FIRST
		if
		:: UNLIKE(v, mem[META(b)]) -> goto again
		:: else
		fi;
#endif
		START(t, hash[1 + k])
	};
#ifndef MUTANT_NO_RELOCATE
	locate(t);
	atomic {
		if
		:: b != BUCKET(t, i) -> REACHED(3); goto again
		:: else
		fi
	};
#endif
	if
	:: OTHER_TABLE -> REACHED(4); goto again
	:: !(OTHER_TABLE)
	fi;
#ifndef MUTANT_VERSION_FIRST
	if
	:: UNLIKE(v, mem[META(b)]) -> REACHED(1); goto again
	:: !(UNLIKE(v, mem[META(b)]))
	fi;
#endif
#ifdef MUTANT_LATE_SLOT
	x = mem[SLOT(b, 1)];
	atomic { compare(); if :: found -> goto done :: else fi };
#endif
	/* A key that stays is found. */
	assert(k != 0);
	goto done;
again:
	atomic { t = mem[TABLE]; START(t, hash[1 + k]) };
	locate(t);
	goto look;
done:
	atomic {
		REACHED_IF(5, mem[TABLE] != t);
		t = 0; b = 0; v = 0; i = 0; m = 0; found = 0; unlinked = 0
	};
	leave(me);
	finished++
}

/* Who changes a bucket locks it. A bucket that is not live is refused. */

#ifdef MUTANT_LOCK_DEAD
#define MAY_LOCK(m)	true
#else
#define MAY_LOCK(m)	((m) & LIVE)
#endif

/* Who changes an entry locks the bucket that it was led to, if that owns it. */
inline lock_owner(c, b, h, m)
{
	d_step {
		QUIET(c);
		USE(b);
		if
		:: !(mem[META(b)] & LOCK) && OWNS(mem[META(b)], b, h) -> m = mem[META(b)] | LOCK; mem[META(b)] = m
		:: else -> m = 0
		fi
	}
}

inline lock(c, b, m)
{
	d_step {
		QUIET(c) && !(mem[META(b)] & LOCK);
		USE(b);
		if
		:: MAY_LOCK(mem[META(b)]) -> m = mem[META(b)] | LOCK; mem[META(b)] = m
		:: else -> m = 0
		fi
	}
}

inline unlock(c, b, m)
{
	RELEASE(c, META(b), (m & ~LOCK));
	m = 0
}

/* Inside an atomic. Entry e of bucket b: a slot, or what the overflow line has. */
inline entry(c, b, e)
{
	if
	:: e < 2 -> at = SLOT(b, e); OWN(c, at, x)
	:: else ->
		OWN(c, OV(b), o);
		if
		:: o != 0 -> at = LINE(o); OWN(c, at, x)
		:: else -> x = 0
		fi
	fi;
	o = 0
}

#define MOVES	(x != 0 && (hash[x] & HALF(t)))
#define ANY	(x != 0)

/* The next entry from e on for which it holds, in x and at; x = 0: none. */
inline next(c, b, it)
{
	atomic {
		do
		:: e < 3 ->
			entry(c, b, e);
			e++;
			if
			:: it -> break
			:: else -> x = 0
			fi
		:: else -> e = 0; at = 0; break
		od
	}
}

/* Copies x to a free place of bucket b, which is the caller's: any. */
inline place(c, b)
{
	atomic {
		OWN(c, SLOT(b, 0), f0);
		OWN(c, SLOT(b, 1), f1);
		OWN(c, OV(b), o);
		if
		:: o != 0 -> OWN(c, LINE(o), f2)
		:: else
		fi;
		if
		:: f0 == 0 -> to = SLOT(b, 0); o = 0
		:: f1 == 0 -> to = SLOT(b, 1); o = 0
		:: o != 0 && f2 == 0 -> to = LINE(o); o = 0
		:: o == 0 && lines < LINES -> lines++; o = lines; to = LINE(o)
		fi;
		f0 = 0; f1 = 0; f2 = 0;
		ROOM(c, 1) && held[c] != 1 + to;
		STORE(c, to, x);
		x = 0;
		to = 0
	};
	if
	:: o != 0 -> RELEASE(c, OV(b), o); o = 0
	:: o == 0
	fi
}

#ifdef MUTANT_PLAIN_CLEAR
#define CLEAR(c, l)	atomic { ROOM(c, 1); STORE(c, l, 0) }
#else
#define CLEAR(c, l)	RELEASE(c, l, 0)
#endif

inline copy_all(c, from, it, dest)
{
	do
	:: next(c, from, it);
	   if
	   :: x == 0 -> break
	   :: x != 0 -> place(c, dest)
	   fi
	od
}

inline clear_all(c, from, it)
{
	do
	:: next(c, from, it);
	   if
	   :: x == 0 -> break
	   :: x != 0 -> x = 0; CLEAR(c, at)
	   fi
	od
}

#ifdef MUTANT_CHILD_UNLOCKED
#define CHILD	LIVE
#else
#define CHILD	(LIVE | LOCK)
#endif

inline child_live(c)
{
	atomic { OWN(c, META(ch), mc); mc = (mc & ~BY(3)) | CHILD | BY(1 + level[t]) };
	RELEASE(c, META(ch), mc)
}

inline bump(c)
{
	mp = mp + VERSION;
	RELEASE(c, META(p), mp)
}

/* Its version, and by how many bits the parent owns from now on. */
inline bump_by(c, n)
{
	mp = ((mp & ~BY(3)) + VERSION) | BY(n);
	RELEASE(c, META(p), mp)
}

/* The parent's overflow line goes, what is in it moves to a slot. */
inline compact(c)
{
	atomic {
		entry(c, p, 2);
		at = 0;
		OWN(c, SLOT(p, 0), f0);
		OWN(c, SLOT(p, 1), f1);
		OWN(c, OV(p), o);
		if
		:: o != 0 && x != 0 && f0 == 0 -> to = SLOT(p, 0)
		:: o != 0 && x != 0 && f1 == 0 -> to = SLOT(p, 1)
		:: o != 0 && x != 0 && f0 != 0 && f1 != 0 -> o = 0; x = 0
		:: x == 0
		fi;
		f0 = 0;
		f1 = 0
	};
	if
	:: x != 0 ->
		d_step { ROOM(c, 1) && held[c] != 1 + to; STORE(c, to, x); x = 0; to = 0 };
#ifndef MUTANT_COMPACT_NO_BUMP
		bump(c)
#endif
	:: x == 0
	fi;
	if
	:: o != 0 ->
		RELEASE(c, OV(p), 0);
		retire(c, OVER(o));
		o = 0
	:: o == 0
	fi
}

#ifdef MUTANT_NO_BUSY
#define UNDER_WAY	0
#else
#define UNDER_WAY	BUSY
#endif

inline claim(c, to_)
{
	d_step {
		QUIET(c);
		if
		:: cursor[t] == cu -> cursor[t] = to_; ok = 1
		:: else -> ok = 0
		fi
	}
}

inline claim_done(c)
{
	d_step { QUIET(c); cursor[t] = cursor[t] - UNDER_WAY }
}

inline split(c)
{
	atomic { p = BUCKET(t, cu % BUSY); ch = BUCKET(t, cu % BUSY + HALF(t)) };
	lock(c, p, mp);
	if
	:: mp == 0 -> goto done
	:: mp != 0 -> claim(c, cu + 1 + UNDER_WAY)
	fi;
	if
	:: !ok -> unlock(c, p, mp); goto done
	:: ok -> assert((mp & LIVE) && !(mem[META(ch)] & LIVE))
	fi;
#ifdef MUTANT_LIVE_FIRST
	child_live(c);
#endif
	copy_all(c, p, MOVES, ch);
#if !defined(MUTANT_LIVE_FIRST) && !defined(MUTANT_LIVE_LAST)
	child_live(c);
#endif
#ifndef MUTANT_SPLIT_NO_BUMP
	bump_by(c, 1 + level[t]);
#endif
	clear_all(c, p, MOVES);
#ifdef MUTANT_LIVE_LAST
	child_live(c);
#endif
#ifdef MUTANT_CHILD_UNLOCKED
	mc = 0;
#else
	unlock(c, ch, mc);
#endif
	compact(c);
	unlock(c, p, mp);
	claim_done(c)
}

inline not_live(c)
{
#ifdef MUTANT_SAME_VERSION
	mc = mc & ~(LIVE | LOCK);
#else
	mc = (mc & ~(LIVE | LOCK)) + VERSION;
#endif
	RELEASE(c, META(ch), mc);
	mc = 0
}

inline merge(c)
{
	atomic { p = BUCKET(t, cu % BUSY - 1); ch = BUCKET(t, cu % BUSY - 1 + HALF(t)) };
	lock(c, p, mp);
	if
	:: mp == 0 -> goto done
	:: mp != 0 -> lock(c, ch, mc)
	fi;
	if
	:: mc == 0 -> unlock(c, p, mp); goto done
	:: mc != 0 -> claim(c, cu - 1 + UNDER_WAY)
	fi;
	if
	:: !ok -> unlock(c, ch, mc); unlock(c, p, mp); goto done
	:: ok -> assert((mp & LIVE) && (mc & LIVE))
	fi;
	copy_all(c, ch, ANY, p);
#ifndef MUTANT_MERGE_NO_BUMP
	bump_by(c, level[t]);
#endif
#ifndef MUTANT_CLEAR_FIRST
	not_live(c);
#endif
	clear_all(c, ch, ANY);
	atomic { OWN(c, OV(ch), o) };
	if
	:: o != 0 ->
		RELEASE(c, OV(ch), 0);
		retire(c, OVER(o));
		o = 0
	:: o == 0
	fi;
#ifdef MUTANT_CLEAR_FIRST
	not_live(c);
#endif
	unlock(c, p, mp);
	claim_done(c)
}

inline publish(c, l)
{
	d_step {
		to = tables;
		assert(mem[TABLE] == t);	/* one table follows another */
		level[to] = l;
		cursor[to] = 1 - l;	/* a half has all its children */
		if
		:: l == 1 -> segment[to] = segments; segments++
		:: else
		fi;
		tables++
	};
	RELEASE(c, TABLE, to);
	to = 0
}

#ifdef MUTANT_DOUBLE_LOOSE
#define FREEZE_FULL(c)	ok = 1
#else
#define FREEZE_FULL(c)	claim(c, FROZEN)
#endif
#ifdef MUTANT_HALVE_LOOSE
#define FREEZE_EMPTY(c)	ok = 1
#else
#define FREEZE_EMPTY(c)	claim(c, FROZEN)
#endif

inline double(c)
{
	FREEZE_FULL(c);
	if
	:: ok && tables < NTAB -> publish(c, 1)
	:: else
	fi
}

inline halve(c)
{
	FREEZE_EMPTY(c);
	if
	:: ok && tables < NTAB ->
		publish(c, 0);
#ifdef MUTANT_SEGMENT_NOW
		d_step { QUIET(c); retired[SEG(segment[t])] = 1 }
#else
		retire(c, SEG(segment[t]))
#endif
	:: else
	fi
}

proctype resizer(byte c)
{
	byte t, cu, p, ch, mp, mc, e, x, at, o, to, f0, f1, f2, ops;
	bool ok;

	do
	:: ops < OPS ->
		d_step { ops++; enter(c); t = mem[TABLE]; cu = cursor[t] };
		if
		:: cu < FROZEN && cu % BUSY < HALF(t) -> split(c)
		:: cu < FROZEN && cu % BUSY > 0 -> merge(c)
		:: cu == HALF(t) && level[t] == 0 && tables < NTAB -> double(c)
		:: cu == 0 && level[t] == 1 && tables < NTAB -> halve(c)
		:: else
		fi;
done:		atomic { t = 0; cu = 0; p = 0; ch = 0; ok = 0 };
		leave(c)
	:: ops > 0 -> break
	od;
	atomic { QUIET(c); ops = 0; finished++ }
}

#if WRITERS > 0
#ifdef MUTANT_NO_RECHECK
#define WRITERS_OTHER_TABLE false
#else
#define WRITERS_OTHER_TABLE (mem[TABLE] != t)
#endif

/* A writer of the other key. */
proctype writer(byte c)
{
	byte t, b, mp, i, m, e, x, at, o, to, f0, f1, f2, old, puts;

	do
	:: puts < PUTS ->
		puts++;
		enter(c);
		/* It is led to the child or to the parent, and then it looks closer. */
		atomic {
			t = mem[TABLE];
			i = hash[2] & MASK(t);
			if
			:: true
			:: i >= HALF(t) -> i = i - HALF(t)
			fi;
			b = BUCKET(t, i);
			i = 0
		};
		lock_owner(c, b, hash[2], mp);
		if
		:: mp == 0 -> goto again
		:: mp != 0 && !(WRITERS_OTHER_TABLE) -> goto locked
		:: mp != 0 && WRITERS_OTHER_TABLE -> REACHED(9); unlock(c, b, mp)
		fi;
again:
		atomic { t = mem[TABLE]; START(t, hash[2]) };
		locate(t);
		atomic { b = BUCKET(t, i); m = 0; i = 0 };
		lock(c, b, mp);
		if
		:: mp == 0 -> REACHED(6); goto again
		:: mp != 0 -> START(t, hash[2])
		fi;
#ifndef MUTANT_NO_RECHECK
		locate(t);
		atomic {
			o = (BUCKET(t, i) == b && mem[TABLE] == t);
			m = 0;
			i = 0
		};
		if
		:: o == 0 -> REACHED(7); unlock(c, b, mp); goto again
		:: o == 1 -> o = 0
		fi;
#endif
locked:
		atomic {
			m = 0;
			i = 0;
			do
			:: e < 3 ->
				entry(c, b, e);
				if
				:: x > 1 -> break
				:: else -> x = 0; e++
				fi
			:: else -> break
			od;
			e = 0;
			/* What the last one left is there. */
			assert(x == now[1]);
			old = x
		};
		if
		:: old != 0 ->	/* delete */
			d_step { QUIET(c); now[1] = 0 };
			RELEASE(c, at, 0)
		:: fresh ->	/* replace or insert */
			d_step { QUIET(c); now[1] = 3; fresh = 0 };
			if
			:: old != 0 -> RELEASE(c, at, 3)
			:: old == 0 -> x = 3; place(c, b)
			fi
		:: old == 0
		fi;
		atomic { x = 0; at = 0 };
		unlock(c, b, mp);
		if
		:: old != 0 && old != now[1] ->
			d_step { QUIET(c); unlinked_now = unlinked_now | (1 << old) };
			retire(c, NODE(old))
		:: else
		fi;
		atomic { old = 0; b = 0; t = 0 };
		leave(c)
	:: puts == PUTS -> break
	od;
	atomic { QUIET(c); puts = 0; finished++ }
}
#endif

/* -DNARROW: hashes that one or two operations can tell apart. */
#ifndef NARROW
#define SELECT(h)	select(h : 0 .. 3)
#elif defined(FULL)
#define SELECT(h)	if :: h = 1 :: h = 3 fi
#else
#define SELECT(h)	if :: h = 0 :: h = 1 fi
#endif

/* At the end each key is where a look-up looks, once. */
#define RUNS	(READERS + RESIZERS + WRITERS)

init {
	byte b, h, i, t, l, n, x;

	atomic {
		SELECT(h);
		hash[1] = h;
#if WRITERS > 0
		SELECT(h);
		hash[2] = h;
		hash[3] = h;
#else
		now[1] = 0;
#endif
		/* All in bucket 0, or in a full table. */
		mem[META(0)] = LIVE;
#ifdef FULL
		level[0] = 1;
		cursor[0] = 2;
		mem[META(0)] = LIVE | BY(2);
		mem[META(1)] = LIVE | BY(2);
		mem[META(2)] = LIVE | BY(2);
		mem[META(3)] = LIVE | BY(2);
		b = hash[1];
#endif
		if
		:: mem[SLOT(b, 0)] = 1
		:: mem[SLOT(b, 1)] = 1
		:: LINES > 0 -> lines++; mem[OV(b)] = lines; mem[LINE(lines)] = 1
		fi;
#if WRITERS > 0
#ifdef FULL
		b = hash[2];
#endif
		if
		:: now[1] = 0
		:: mem[SLOT(b, 0)] == 0 -> mem[SLOT(b, 0)] = 2
		:: mem[SLOT(b, 1)] == 0 -> mem[SLOT(b, 1)] = 2
		fi;
#endif
		b = 0;
		h = 0;
		run resizer(0);
#if RESIZERS > 1
		run resizer(1);
#endif
#if WRITERS > 0
		run writer(RESIZERS);
#endif
#if WRITERS > 1
		run writer(RESIZERS + 1);
#endif
#if READERS > 0
		run reader(NCPU, READS);
#endif
	};
	finished == RUNS;
	d_step {
		t = mem[TABLE];
		i = 0;
		do
		:: i < 2 ->
			h = hash[1 + i] & MASK(t);
			if
			:: h != 0 && !(mem[META(BUCKET(t, h))] & LIVE) -> h = h & (MASK(t) >> 1)
			:: else
			fi;
			if
			:: h != 0 && !(mem[META(BUCKET(t, h))] & LIVE) -> h = 0
			:: else
			fi;
			b = 0;
			n = 0;
			do
			:: b < 6 ->
				x = mem[SLOT(b, 0)];
				if
				:: x != 0 && KEY(x) == i -> n++; assert(x == now[i] && b == BUCKET(t, h))
				:: else
				fi;
				x = mem[SLOT(b, 1)];
				if
				:: x != 0 && KEY(x) == i -> n++; assert(x == now[i] && b == BUCKET(t, h))
				:: else
				fi;
				l = mem[OV(b)];
				x = (l == 0 -> 0 : mem[LINE(l)]);
				if
				:: x != 0 && KEY(x) == i -> n++; assert(x == now[i] && b == BUCKET(t, h))
				:: else
				fi;
				b++
			:: else -> break
			od;
			assert(n == (now[i] != 0));
			i++
		:: else -> break
		od
	}
}
