/*
 * Callers that wait while another one drives grace periods (rcu/wait.go).
 *
 * Each caller takes a cookie and waits for it, some rounds in a row. One that
 * finds no driver becomes it. The driver ends grace periods until its own cookie
 * has ended; after each it wakes the callers of that one, and when it leaves, it
 * makes a caller of the next one the driver.
 *
 * The queue is under a lock, and seq is changed by read-modify-writes of the
 * driver alone: the memory is sequentially consistent here, in both modes.
 */
#ifndef CALLERS
#define CALLERS	3
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif

#define ON(number, i)	on[((number) % 2) * CALLERS + (i)]

byte seq;
bool driving;
bool on[2 * CALLERS];		/* is caller i in the list? */
bool woken[CALLERS], heir[CALLERS];
byte drivers, returned;

#ifndef REACH
#define REACH	0
#endif
#define REACHED(n)	assert(REACH != n)

/* cookie: as rcu.snap */
inline cookie() { c = ((seq + 3) / 2) * 2 }

inline enter()
{
	atomic {
		queued = false;
		if
#ifndef SAFE_NO_LOOK
		:: seq >= c -> skip
		:: seq < c && !driving -> driving = true; drives = true
		:: seq < c && driving ->
#else
		:: !driving -> driving = true; drives = true
		:: driving ->
#endif
			ON(c / 2, _pid) = true; queued = true
		fi
	}
}

inline leave()
{
	atomic {
		number = seq / 2;
#ifdef MUTANT_WAKE_FIRST
		number++;
#endif
		i = 0;
		do
		:: i < CALLERS -> det[i] = ON(number, i); ON(number, i) = false; i++
		:: else -> break
		od;
#ifdef MUTANT_WAKE_FIRST
		left = (number * 2 >= c);
#else
		left = (seq >= c);
#endif
		next = CALLERS;
		if
		:: left ->
			drives = false;
			i = 0;
			do
			:: i < CALLERS && ON(number + 1, i) -> next = i; break
			:: i < CALLERS && !ON(number + 1, i) -> i++
			:: i == CALLERS -> break
			od;
			if
			:: next < CALLERS ->
				ON(number + 1, next) = false;
#ifdef MUTANT_NO_HEIR
				driving = false
#else
				heir[next] = true
#endif
			:: else -> driving = false
			fi
		:: else
		fi;
		i = 0
	}
#ifdef MUTANT_WAKE_FIRST
	seq++;			/* the end comes after the look at the list */
#endif
	if
	:: next < CALLERS ->
#ifndef MUTANT_NO_HEIR
		woken[next] = true
#else
		skip
#endif
	:: else
	fi;
	do
	:: i < CALLERS ->
		if
		:: det[i] -> woken[i] = true
		:: else
		fi;
#ifdef MUTANT_WAKE_ONE
		if
		:: det[i] -> break
		:: else
		fi;
#endif
		i++
	:: else -> break
	od;
	atomic { i = 0; next = 0; number = 0; left = false }
}

active [CALLERS] proctype caller()
{
	byte c, i, round, next, number;
	bool drives, queued, left, det[CALLERS];
	do
	:: round < ROUNDS ->
		round++;
		atomic { cookie() };
		do
		:: seq >= c && !drives -> break
		:: seq < c && !drives ->
			enter();
			if
			:: queued ->
				atomic { woken[_pid] -> woken[_pid] = false; drives = heir[_pid]; heir[_pid] = false };
				if
				:: drives -> REACHED(1)
				:: else -> REACHED(2)
				fi
			:: else -> if :: !drives -> REACHED(3) :: else fi
			fi
		:: drives ->
			atomic { drivers++; assert(drivers == 1) };
			if
			:: seq < c -> atomic { seq++; assert(seq % 2 == 1) };
#ifndef MUTANT_WAKE_FIRST
				seq++
#endif
			:: else
#ifdef MUTANT_WAKE_FIRST
				-> seq++
#endif
			fi;
			drivers--;
			leave()
		od;
		assert(seq >= c);
		c = 0
	:: else -> break
	od;
	returned++
}

/* When nothing can move, everybody has returned, and the queue is at rest. */
active proctype rest()
{
	byte i;
	timeout ->
	assert(returned == CALLERS);
	assert(!driving);
	do
	:: i < 2 * CALLERS -> assert(!on[i]); i++
	:: else -> break
	od
}

#ifdef LIVE
ltl live { <> (returned == CALLERS) }
#endif
