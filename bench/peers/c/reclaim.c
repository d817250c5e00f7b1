/*
 * Deferred frees of 64-byte objects by liburcu's call_rcu and defer_rcu and by
 * ck_epoch, and free() at once beside them, on whatever allocator the program
 * is linked with: a steady churn, and a flood of cold objects.
 */
#define _GNU_SOURCE
#include "peers.h"

#if defined(PEER_call_rcu)
#include <urcu/urcu-memb.h>

struct object {
	struct rcu_head head;
	uint64_t w[6];
};

static void destroy(struct rcu_head *h) { free(h); /* the first member */ }
static void init(void) { urcu_memb_register_thread(); }
static inline void defer(struct object *o) { urcu_memb_call_rcu(&o->head, destroy); }
static void poll(void) {}
static void barrier(void) { urcu_memb_barrier(); }
/* A reader holds the flood's grace period up until all is enqueued. */
static void hold(void) { urcu_memb_read_lock(); }
static void release(void) { urcu_memb_read_unlock(); }

#elif defined(PEER_defer_rcu)
#include <urcu/urcu-memb.h>

struct object {
	uint64_t w[8];
};

static void init(void)
{
	urcu_memb_register_thread();
	if (urcu_memb_defer_register_thread())
		die("defer_rcu: no thread");
}
static inline void defer(struct object *o) { urcu_memb_defer_rcu(free, o); }
static void poll(void) {}
static void barrier(void) { urcu_memb_defer_barrier(); }
/* Its ring is bounded: the caller waits for a grace period when it is full, so it can't be a reader. */
static void hold(void) {}
static void release(void) {}

#elif defined(PEER_ck)
#include <ck_epoch.h>

struct object {
	ck_epoch_entry_t entry;
	uint64_t w[6];
};

static ck_epoch_t epoch;
static ck_epoch_record_t record;

static void destroy(ck_epoch_entry_t *e) { free(e); }
static void init(void)
{
	ck_epoch_init(&epoch);
	ck_epoch_register(&epoch, &record, NULL);
}
static inline void defer(struct object *o) { ck_epoch_call(&record, &o->entry, destroy); }
static void poll(void) { ck_epoch_poll(&record); }
static void barrier(void) { ck_epoch_barrier(&record); }
/* Nothing is reclaimed until the caller asks. */
static void hold(void) {}
static void release(void) {}

#elif defined(PEER_free)

struct object {
	uint64_t w[8];
};

static void init(void) {}
static inline void defer(struct object *o) { free(o); }
static void poll(void) {}
static void barrier(void) {}
static void hold(void) {}
static void release(void) {}
#endif

#define ROUND 1000

/* churn goes on for ns; it returns the number of objects. */
static double churn(double ns)
{
	static struct object *p[ROUND];
	double start = now(), n = 0;
	int i;

	do {
		for (i = 0; i < ROUND; i++) {
			p[i] = malloc(sizeof *p[i]);
			keep(p[i]);
		}
		for (i = 0; i < ROUND; i++)
			defer(p[i]);
		poll();
		n += ROUND;
	} while (now() - start < ns);
	return n;
}

static void measure_churn(const struct args *a)
{
	double n, t, used, before, whole = a->ns * a->batches;

	churn(whole / 4);
	barrier();
	before = peak_starts();
	used = cpu();
	t = now();
	n = churn(whole);
	barrier();
	t = now() - t;
	figure("ns", t / n);
	figure("cpu", (cpu() - used) / n);
	peak_ends(before);
}

/* flood has the figures of n objects; it reports none for a warm-up. */
static void flood(long n, int tell)
{
	struct object **p = malloc((size_t)n * sizeof *p);
	double before, used, enqueue, reclaim, write;
	long i;

	for (i = 0; i < n; i++) {
		p[i] = malloc(sizeof *p[i]);
		memset(p[i], 1, sizeof *p[i]);
	}
	shuffle((void **)p, n);
	evict();
	before = peak_starts();
	used = cpu();
	enqueue = now();
	hold();
	for (i = 0; i < n; i++)
		defer(p[i]);
	reclaim = now();
	release();
	barrier();
	write = now();
	used = cpu() - used;
	enqueue = reclaim - enqueue;
	reclaim = write - reclaim;
	if (tell)
		peak_ends(before);
	write = now();
	for (i = 0; i < n; i++) {
		p[i] = malloc(sizeof *p[i]);
		*(volatile uint64_t *)p[i] = 1;
	}
	write = now() - write;
	for (i = 0; i < n; i++)
		free(p[i]);
	free(p);
	if (!tell)
		return;
	figure("whole", (enqueue + reclaim + write) / (double)n);
	figure("ns", (enqueue + reclaim) / (double)n);
	figure("cpu", used / (double)n);
	figure("enqueue", enqueue / (double)n);
	figure("reclaim", reclaim / (double)n);
	figure("write", write / (double)n);
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);

	init();
	if (!strcmp(a.mode, "churn")) {
		measure_churn(&a);
	} else if (!strcmp(a.mode, "flood")) {
		flood(a.objects / 16 + 1, 0);
		flood(a.objects, 1);
	} else {
		die("no such mode");
	}
	fflush(stdout);
	_Exit(0); /* registered threads and workers end with the process */
}
