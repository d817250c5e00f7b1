/*
 * The machine all models run on.
 *
 * A model defines, before it includes this file:
 *   NCPU   number of CPUs
 *   NLOC   number of memory locations
 *   NSB    entries in each CPU's store buffer (2 to 4)
 * and optionally
 *   EARLY_LOC(c)   (WEAK) the one location CPU c may load ahead of time
 *   EARLY_OK(c)    (WEAK) true while CPU c still has such a load to do
 *   LATE(c)        (WEAK) true while CPU c has a load outstanding
 *
 * -DTSO:  each CPU has a FIFO store buffer and sees its own stores first.
 * -DWEAK: entries for different locations leave the buffer in any order
 *         (store->store); a load may be satisfied before its turn (load->load;
 *         EARLY) or after later stores and loads (load->store, load->load;
 *         LATE, done by the model, since it knows what depends on what).
 *
 * Each CPU has a process hw() of its own, which moves its buffer along at any
 * moment and takes the CPU's turn in a membarrier.
 */

#if defined(TSO) == defined(WEAK)
#error "one of -DTSO, -DWEAK"
#endif

/*
 * -DREACH=n asserts that place n is never reached, which has to fail: a claim
 * about what never happens anyway would be empty.
 */
#ifndef REACH
#define REACH	0
#endif
#define REACHED(n)	assert(REACH != n)
#define REACHED_IF(n, c) assert(REACH != n || !(c))

#ifndef LATE
#define LATE(c)	false
#endif

typedef sbuf {
	byte loc[NSB];
	byte val[NSB];
	byte used
};

byte mem[NLOC];
sbuf sb[NCPU];
byte mb_todo;		/* CPUs the running membarrier has not visited yet */
#if defined(WEAK) && defined(EARLY_LOC)
byte early[NCPU];	/* 1 + the value loaded ahead of time; 0: none */
#define DROP_EARLY(c)	early[c] = 0
#else
#define DROP_EARLY(c)	skip
#endif

hidden byte k_;		/* scratch, only inside one d_step */

/* Room for n more stores. A store blocks until there is. */
#define ROOM(c, n)	(sb[c].used + (n) <= NSB)

/* All of CPU c's stores are visible and all its loads are done. */
#define QUIET(c)	(sb[c].used == 0 && !(LATE(c)))

/* The following are used inside d_step, after a guard. */

inline STORE(c, l, v)
{
#ifdef WEAK
	/* Kept sorted by location: order between locations means nothing. */
	k_ = sb[c].used;
	do
	:: k_ > 0 && sb[c].loc[k_ - 1] > (l) ->
		sb[c].loc[k_] = sb[c].loc[k_ - 1];
		sb[c].val[k_] = sb[c].val[k_ - 1];
		k_--
	:: else -> break
	od;
	sb[c].loc[k_] = l;
	sb[c].val[k_] = v;
#ifdef EARLY_LOC
	/* A load may not miss the CPU's own earlier store. */
	if
	:: (l) == EARLY_LOC(c) -> early[c] = 0
	:: else
	fi;
#endif
#else
	sb[c].loc[sb[c].used] = l;
	sb[c].val[sb[c].used] = v;
#endif
	sb[c].used++;
	k_ = 0
}

inline LOAD(c, l, dst)
{
	dst = mem[l];
	k_ = 0;
	do
	:: k_ < sb[c].used ->
		if
		:: sb[c].loc[k_] == (l) -> dst = sb[c].val[k_]
		:: else
		fi;
		k_++
	:: else -> break
	od;
	k_ = 0
}

/* Entry i becomes visible. */
inline FLUSH(c, i)
{
	mem[sb[c].loc[i]] = sb[c].val[i];
	k_ = i;
	do
	:: k_ + 1 < sb[c].used ->
		sb[c].loc[k_] = sb[c].loc[k_ + 1];
		sb[c].val[k_] = sb[c].val[k_ + 1];
		k_++
	:: else -> break
	od;
	sb[c].used--;
	sb[c].loc[sb[c].used] = 0;
	sb[c].val[sb[c].used] = 0;
	k_ = 0
}

/* Entry i may leave before those in front of it. */
#define LOOSE(c, i)	(i < sb[c].used && sb[c].loc[i] != sb[c].loc[i - 1])

/*
 * A full barrier (and with it any atomic read-modify-write) happens at a
 * moment at which the CPU is quiet; what was loaded ahead is loaded again.
 * Write it as  d_step { QUIET(c); DROP_EARLY(c); ... }.
 *
 * MEMBARRIER: the caller has a full barrier, then every other CPU is visited,
 * one at a time, in any order, each with a full barrier of its own; the
 * caller continues when all were.
 */
inline MEMBARRIER(c)
{
	d_step {
		QUIET(c);
		DROP_EARLY(c);
		mb_todo = ((1 << NCPU) - 1) & ~(1 << c)
	};
	mb_todo == 0
}

/* A membarrier that is not there: the mutants. */
inline NO_MEMBARRIER(c)
{
	skip
}

#ifdef FOREVER
/*
 * With CPUs that never stop storing (TSO only), waiting for a quiet moment
 * could last for ever: the visit empties the buffer itself, at once.
 */
#define HW_STEPS(c) \
	:: d_step { sb[c].used > 0 && !(mb_todo & (1 << c)) -> FLUSH(c, 0) } \
	:: d_step { (mb_todo & (1 << c)) -> \
		do \
		:: sb[c].used > 0 -> FLUSH(c, 0) \
		:: else -> break \
		od; \
		mb_todo = mb_todo & ~(1 << c) }
#else
#define HW_STEPS(c) \
	:: d_step { sb[c].used > 0 -> FLUSH(c, 0) } \
	:: d_step { (mb_todo & (1 << c)) && QUIET(c) -> \
		DROP_EARLY(c); mb_todo = mb_todo & ~(1 << c) }
#endif

#if defined(WEAK) && NSB > 1
#define HW_LOOSE1(c)	:: d_step { LOOSE(c, 1) -> FLUSH(c, 1) }
#else
#define HW_LOOSE1(c)
#endif
#if defined(WEAK) && NSB > 2
#define HW_LOOSE2(c)	:: d_step { LOOSE(c, 2) -> FLUSH(c, 2) }
#else
#define HW_LOOSE2(c)
#endif
#if defined(WEAK) && NSB > 3
#define HW_LOOSE3(c)	:: d_step { LOOSE(c, 3) -> FLUSH(c, 3) }
#else
#define HW_LOOSE3(c)
#endif
#if defined(WEAK) && defined(EARLY_LOC)
#define HW_EARLY(c)	:: d_step { EARLY_OK(c) && early[c] == 0 -> \
				LOAD(c, EARLY_LOC(c), early[c]); early[c]++ }
#else
#define HW_EARLY(c)
#endif

#define HW(c)	HW_STEPS(c) HW_LOOSE1(c) HW_LOOSE2(c) HW_LOOSE3(c) HW_EARLY(c)
