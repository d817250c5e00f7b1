/*
 * malloc and free of whatever allocator the program is linked with, 64 bytes:
 * one object again and again (hot), 10,000 and then freed in shuffled order
 * (shuffled), and freed by another thread (remote).
 */
#define _GNU_SOURCE
#include "peers.h"

#define SIZE 64
#define MANY 10000

static void hot(long n)
{
	while (n--) {
		void *p = malloc(SIZE);

		keep(p);
		free(p);
	}
}

static void *held[MANY];
static long order[MANY];

static void shuffled(long rounds)
{
	while (rounds--) {
		long i;

		for (i = 0; i < MANY; i++)
			held[i] = malloc(SIZE);
		for (i = 0; i < MANY; i++)
			free(held[order[i]]);
	}
}

/*
 * Two bounded queues of crates, as Go's channels are: full ones go to the
 * thread that frees, empty ones come back.
 */
#define CRATE 1000
#define CRATES 8

struct crate {
	void *p[CRATE];
};

struct queue {
	pthread_mutex_t mu;
	pthread_cond_t filled;
	struct crate *c[CRATES + 1];
	int n, first;
};

static struct queue full = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0, 0};
static struct queue empty = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0, 0};

static void put(struct queue *q, struct crate *c)
{
	pthread_mutex_lock(&q->mu);
	q->c[(q->first + q->n++) % (CRATES + 1)] = c;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->mu);
}

static struct crate *take(struct queue *q)
{
	struct crate *c;

	pthread_mutex_lock(&q->mu);
	while (!q->n)
		pthread_cond_wait(&q->filled, &q->mu);
	c = q->c[q->first];
	q->first = (q->first + 1) % (CRATES + 1);
	q->n--;
	pthread_mutex_unlock(&q->mu);
	return c;
}

static void *freer(void *arg)
{
	int i;

	(void)arg;
	for (;;) {
		struct crate *c = take(&full);

		for (i = 0; i < CRATE; i++)
			free(c->p[i]);
		put(&empty, c);
	}
	return NULL;
}

/* remote ends when every object of its crates was freed. */
static void remote(long crates)
{
	struct crate *c[CRATES];
	int i;

	while (crates--) {
		struct crate *k = take(&empty);

		for (i = 0; i < CRATE; i++)
			k->p[i] = malloc(SIZE);
		put(&full, k);
	}
	for (i = 0; i < CRATES; i++)
		c[i] = take(&empty);
	for (i = 0; i < CRATES; i++)
		put(&empty, c[i]);
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);
	long i;

	if (!strcmp(a.mode, "hot")) {
		batches(&a, hot, 1);
	} else if (!strcmp(a.mode, "shuffled")) {
		void *p[MANY];

		for (i = 0; i < MANY; i++)
			p[i] = (void *)i;
		shuffle(p, MANY);
		for (i = 0; i < MANY; i++)
			order[i] = (long)p[i];
		batches(&a, shuffled, MANY);
	} else if (!strcmp(a.mode, "remote")) {
		pthread_t id;

		for (i = 0; i < CRATES; i++)
			put(&empty, malloc(sizeof(struct crate)));
		if (pthread_create(&id, NULL, freer, NULL))
			die("no thread");
		batches(&a, remote, CRATE);
	} else {
		die("no such mode");
	}
	return 0;
}
