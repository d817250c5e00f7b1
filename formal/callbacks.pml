/*
 * Callbacks and their Barriers (rcu/callqueue.go).
 *
 * Each caller adds an item to a shard, looks at the worker's flag, puts a Barrier
 * in the list, looks at the flag again, and waits, some rounds in a row. The worker
 * takes the list, then the items of one shard after the other, makes a cookie, waits
 * for its grace period, runs the items, wakes the Barriers. Grace periods of others
 * begin at any time.
 *
 * Shards are under locks, the list is taken and changed by read-modify-writes, and
 * the flag's protocol is that of worker.pml, which has the store buffers: the memory
 * is sequentially consistent here, in both modes.
 */
#ifndef ROUNDS
#define ROUNDS	2		/* of caller 0; caller 1 has one */
#endif
#ifndef OTHERS
#define OTHERS	1		/* grace periods that others start */
#endif

#define CALLERS	2
#define ITEMS	(ROUNDS + 1)

byte in[2];			/* the items of each shard */
byte ran;			/* the items that have been run */
byte stamp[ITEMS];		/* grace periods begun when the item was added */
byte barriers, woken;		/* callers in the list; callers that may return */
byte begun;			/* grace periods */
bool working;
byte started, inside, finished;

#ifndef REACH
#define REACH	0
#endif
#define REACHED(n)	assert(REACH != n)
#define REACHED_IF(n, c)	assert(REACH != n || !(c))

inline start()
{
	if
	:: working
	:: !working ->
		atomic {
			if
			:: !working -> working = true; started++
			:: else
			fi
		}
	fi
}

proctype caller(byte me; byte item; byte last)
{
	byte s;
	do
	:: item <= last ->
		if
		:: s = 0
		:: s = 1
		fi;
		atomic { in[s] = in[s] | (1 << item); stamp[item] = begun; s = 0 };
		start();
#ifdef MUTANT_LOOK_FIRST
		start();
		barriers = barriers | (1 << me);
#else
		barriers = barriers | (1 << me);
		start();
#endif
		atomic { woken & (1 << me) -> woken = woken & ~(1 << me) };
		assert(ran & (1 << item));	/* nothing is lost or late */
		item++
	:: else -> break
	od;
	finished++
}

active proctype others()
{
	byte n;
end:	do
	:: n < OTHERS -> begun++; n++
	:: n == OTHERS -> break
	od
}

inline takeBarriers() { atomic { mine = barriers; barriers = 0 } }

inline takeItems()
{
	atomic { items = in[0]; in[0] = 0 };
	atomic { items = items | in[1]; in[1] = 0 }
}

inline incarnation()
{
	skip;
end:	atomic { started > 0 -> started-- };
again:	inside++;
	assert(inside == 1);	/* one worker at a time */
	do
	::
#ifdef MUTANT_EARLY_COOKIE
		c = begun;
#endif
#ifdef MUTANT_BARRIERS_LAST
		takeItems();
		takeBarriers();
#else
		takeBarriers();
		takeItems();
#endif
		if
		:: items == 0 && mine == 0 -> break
		:: else
		fi;
#ifdef MUTANT_WAKE_FIRST
		woken = woken | mine;
		mine = 0;
#endif
		if
		:: items ->
#ifndef MUTANT_EARLY_COOKIE
			c = begun;
#endif
			REACHED_IF(3, in[0]);
			atomic {	/* a grace period that begins later has ended */
				if
				:: begun == c -> begun++
				:: else -> REACHED(4)
				fi
			};
			d_step {
				i = 0;
				do
				:: i < ITEMS ->
					assert(!(items & (1 << i)) || c >= stamp[i]);
					assert(!(items & ran & (1 << i)));	/* once */
					stamp[i] = (items & (1 << i) -> 0 : stamp[i]);
					i++
				:: else -> break
				od;
				i = 0;
				ran = ran | items;
				items = 0
			}
		:: else -> REACHED(1)
		fi;
		atomic { woken = woken | mine; mine = 0; c = 0 }
	od;
	c = 0;
	inside--;
	working = false;
#ifndef MUTANT_NO_SECOND_LOOK
#ifndef MUTANT_ITEMS_ALONE
	more = (barriers != 0);
#endif
	more = more || in[0];
	more = more || in[1];
#endif
	if
	:: more ->
		more = false;
		atomic {
			if
			:: !working -> working = true
			:: else -> goto end
			fi
		};
		REACHED(2);
		goto again
	:: else
	fi;
	goto end
}

active [2] proctype worker()
{
	byte items, mine, c, i;
	bool more;
	incarnation()
}

init { atomic { run caller(0, 0, ROUNDS - 1); run caller(1, ROUNDS, ROUNDS) } }

/* When nothing can move, everybody has returned. */
active proctype idle()
{
end:	timeout -> assert(finished == CALLERS && ran == (1 << ITEMS) - 1 && !working && !inside)
}

#ifdef LIVE
/* Everybody returns. */
ltl live { <> (finished == CALLERS) }
#endif
