/*
 * The empty read-side pair of liburcu's flavours and of ck_epoch. liburcu's
 * functions are called in its shared library: their inlined forms are behind
 * _LGPL_SOURCE, for code under a compatible licence. ck_epoch's are inlined by
 * its header.
 */
#define _GNU_SOURCE
#include "peers.h"

#define CHUNK 16384 /* pairs between two looks at the clock */

#if defined(PEER_ck)
#include <ck_epoch.h>

static ck_epoch_t epoch;
static __thread ck_epoch_record_t *record;

static void begin(void)
{
	if (posix_memalign((void **)&record, 64, sizeof *record))
		die("no memory");
	ck_epoch_register(&epoch, record, NULL);
}
static void end(void) { ck_epoch_unregister(record); }
static inline void pair(void)
{
	ck_epoch_begin(record, NULL);
	ck_epoch_end(record, NULL);
}
static void between(void) {}
static void init(void) { ck_epoch_init(&epoch); }

#else
#if defined(PEER_memb)
#include <urcu/urcu-memb.h>
#define URCU(f) urcu_memb_##f
#elif defined(PEER_qsbr)
#include <urcu/urcu-qsbr.h>
#define URCU(f) urcu_qsbr_##f
#elif defined(PEER_bp)
#include <urcu/urcu-bp.h>
#define URCU(f) urcu_bp_##f
#endif

static void begin(void) { URCU(register_thread)(); }
static void end(void) { URCU(unregister_thread)(); }
static inline void pair(void)
{
	URCU(read_lock)();
	URCU(read_unlock)();
}
/* A qsbr reader announces quiescent states, at times of its choice. */
static void between(void) { URCU(quiescent_state)(); }
static void init(void) {}
#endif

/*
 * Every thread takes the time of each of its chunks; the median of all is the
 * figure, so that chunks in which a thread was preempted are outvoted. Of
 * several threads' chunks only those count in which all others ended one too:
 * threads that take turns don't contend. Nor more than a few, and this thread
 * was not preempted, by its CPU time.
 */
#define CHUNKS 4096 /* that a thread remembers, the last ones */
#define THREADS 64

struct thread {
	pthread_t id;
	long ended;	/* chunks; the others read it */
	long n;		/* chunks that count */
	double ns[CHUNKS];
	double alone[CHUNKS]; /* those that don't */
};

static struct thread thread[THREADS];
static int threads;
static pthread_barrier_t together;
static double whole; /* how long a thread measures */

static void chunk(void)
{
	int i;

	for (i = 0; i < CHUNK; i++) {
		pair();
		keep(NULL); /* qsbr's pair is nothing, and would take the loop with it */
	}
	between();
}

#define FEW 4
#define ENOUGH 5 /* percent of the chunks; with fewer that count, all do */

/* others says whether all of them ended a chunk, or a few, since the last time. */
static int others(const struct thread *t, long *seen)
{
	int all = 1, i;

	for (i = 0; i < threads; i++) {
		long ended = __atomic_load_n(&thread[i].ended, __ATOMIC_RELAXED);

		all &= &thread[i] == t || (ended > seen[i] && ended <= seen[i] + FEW);
		seen[i] = ended;
	}
	return all;
}

static void *reader(void *arg)
{
	struct thread *t = arg;
	long seen[THREADS] = {0}, n = 0;
	double start, last, next, used;

	begin();
	chunk();
	pthread_barrier_wait(&together);
	start = last = now();
	used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	do {
		chunk();
		next = now();
		used = clock_ns(CLOCK_THREAD_CPUTIME_ID) - used;
		__atomic_store_n(&t->ended, ++n, __ATOMIC_RELAXED);
		if (others(t, seen) && used > 0.9 * (next - last))
			t->ns[t->n++ % CHUNKS] = next - last;
		else
			t->alone[(n - t->n) % CHUNKS] = next - last;
		used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		last = now();
	} while (next - start < whole);
	end();
	return NULL;
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);
	long n = 0, alone = 0, chunks = 0, i, j;
	double *v, *w, used = cpu();

	if (a.objects > THREADS)
		die("too many threads");
	threads = (int)a.objects;
	v = malloc((size_t)threads * CHUNKS * sizeof *v);
	w = malloc((size_t)threads * CHUNKS * 2 * sizeof *w);
	whole = a.ns * a.batches;
	init();
	pthread_barrier_init(&together, NULL, (unsigned)threads);
	for (i = 0; i < threads; i++)
		if (pthread_create(&thread[i].id, NULL, reader, &thread[i]))
			die("no thread");
	for (i = 0; i < threads; i++) {
		struct thread *t = &thread[i];

		pthread_join(t->id, NULL);
		chunks += t->ended;
		for (j = 0; j < t->n && j < CHUNKS; j++)
			v[n++] = t->ns[j];
		for (j = 1; j <= t->ended - t->n && j < CHUNKS; j++)
			w[alone++] = t->alone[j];
	}
	used = cpu() - used;
	if (threads > 1)
		figure("together_percent", (double)n / (double)(n + alone) * 100);
	if (threads > 1 && n * 100 >= (n + alone) * ENOUGH)
		figure("ns", median(v, (int)n) / CHUNK);
	else {
		memcpy(w + alone, v, (size_t)n * sizeof *v);
		figure("ns", median(w, (int)(n + alone)) / CHUNK);
	}
	figure("cpu", used / (double)(chunks + threads) / CHUNK);
	return 0;
}
