/*
 * liburcu-memb's grace periods: synchronize_rcu without readers (sync) and
 * with a busy one (busy), and the time from call_rcu to its callback (call).
 */
#define _GNU_SOURCE
#include "peers.h"

#include <semaphore.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static void synchronize(long n)
{
	while (n--)
		urcu_memb_synchronize_rcu();
}

static int stop, running;

static void spin(long n)
{
	while (n--)
		pause_cpu();
}

/* busy_reader is in a section of about a microsecond nearly all the time. */
static void *busy_reader(void *arg)
{
	double t;
	long n = 1000;

	(void)arg;
	spin(n);
	t = now();
	spin(n);
	n = (long)((double)n * 1000 / (now() - t)) + 1;
	urcu_memb_register_thread();
	__atomic_store_n(&running, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		urcu_memb_read_lock();
		spin(n);
		urcu_memb_read_unlock();
	}
	urcu_memb_unregister_thread();
	return NULL;
}

static sem_t done;
static struct rcu_head head;

static void called(struct rcu_head *h)
{
	(void)h;
	sem_post(&done);
}

static void call(long n)
{
	while (n--) {
		urcu_memb_call_rcu(&head, called);
		sem_wait(&done);
	}
}

/*
 * A process of one thread gets a membarrier for nothing, and liburcu does not
 * even ask for one when no thread is registered. Go's processes have several
 * threads, and so has this one.
 */
static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	struct args a = parse(argc, argv);
	pthread_t other;

	if (pthread_create(&other, NULL, idle, NULL))
		die("no thread");
	urcu_memb_register_thread();
	if (!strcmp(a.mode, "sync")) {
		batches(&a, synchronize, 1);
	} else if (!strcmp(a.mode, "busy")) {
		pthread_t id;

		if (pthread_create(&id, NULL, busy_reader, NULL))
			die("no thread");
		while (!__atomic_load_n(&running, __ATOMIC_ACQUIRE))
			pause_cpu();
		batches(&a, synchronize, 1);
		__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
		pthread_join(id, NULL);
	} else if (!strcmp(a.mode, "call")) {
		sem_init(&done, 0, 0);
		batches(&a, call, 1);
	} else {
		die("no such mode");
	}
	fflush(stdout);
	_Exit(0);
}
