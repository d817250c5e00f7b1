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
 * figure, so that chunks in which a thread was preempted are outvoted.
 */
#define CHUNKS 4096 /* that a thread remembers, the last ones */

struct thread {
	pthread_t id;
	long n; /* chunks done */
	double ns[CHUNKS];
};

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

static void *reader(void *arg)
{
	struct thread *t = arg;
	double start, last, next;

	begin();
	chunk();
	pthread_barrier_wait(&together);
	start = last = now();
	do {
		chunk();
		next = now();
		t->ns[t->n++ % CHUNKS] = next - last;
		last = next;
	} while (next - start < whole);
	end();
	return NULL;
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);
	long threads = a.objects, n = 0, i, j;
	struct thread *t = calloc((size_t)threads, sizeof *t);
	double *v = malloc((size_t)threads * CHUNKS * sizeof *v), used = cpu(), chunks = 0;

	whole = a.ns * a.batches;
	init();
	pthread_barrier_init(&together, NULL, (unsigned)threads);
	for (i = 0; i < threads; i++)
		if (pthread_create(&t[i].id, NULL, reader, &t[i]))
			die("no thread");
	for (i = 0; i < threads; i++) {
		pthread_join(t[i].id, NULL);
		chunks += (double)t[i].n + 1;
		for (j = 0; j < t[i].n && j < CHUNKS; j++)
			v[n++] = t[i].ns[j];
	}
	used = cpu() - used;
	figure("ns", median(v, (int)n) / CHUNK);
	figure("cpu", used / chunks / CHUNK);
	if (threads > 1)
		figure("running_percent", used / whole / (double)threads * 100);
	return 0;
}
