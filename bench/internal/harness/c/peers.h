/*
 * What the peers' programs share: clocks, batches, and the lines that they
 * print. The Go half of the same things is child.go; keep the two alike, for
 * their figures stand side by side.
 *
 * A program is started as PROGRAM MODE NS BATCHES OBJECTS and prints lines of
 * "figure NAME VALUE". It measures once, after a warm-up; the caller repeats
 * it, between the repetitions of the others.
 */
#ifndef PEERS_H
#define PEERS_H

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct args {
	const char *mode;
	double ns; /* how long a batch takes, about */
	int batches;
	long objects; /* threads, for readers */
};

static void die(const char *why)
{
	fprintf(stderr, "%s\n", why);
	exit(1);
}

static double clock_ns(clockid_t c)
{
	struct timespec t;

	if (clock_gettime(c, &t))
		die("no such clock");
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double now(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline double cpu(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static void figure(const char *name, double value) { printf("figure %s %.3f\n", name, value); }

/* keep makes the compiler believe that an object is used, and all memory. */
static inline void keep(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static inline double timed(void (*work)(long), long n)
{
	double t = now();

	work(n);
	return now() - t;
}

/*
 * batches runs work(n) with an n that makes it last a batch, which is the
 * warm-up, and then so many times: the median of the batches is the figure,
 * per object of which an operation has so many. Batches that another process
 * disturbed are outvoted if they are shorter than a time slice.
 */
static inline void batches(const struct args *a, void (*work)(long), double objects)
{
	double *v = malloc((size_t)a->batches * sizeof *v), used;
	long n = 1;
	int i;

	for (;;) {
		double t = timed(work, n);

		for (i = 0; i < 3 && t >= a->ns; i++) { /* or was it disturbed? */
			double again = timed(work, n);

			t = again < t ? again : t;
		}
		if (t >= a->ns)
			break;
		n = t > a->ns / 64 ? (long)((double)n * a->ns / t * 1.1) + 1 : n * 8;
	}
	used = cpu();
	for (i = 0; i < a->batches; i++)
		v[i] = timed(work, n) / ((double)n * objects);
	used = cpu() - used;
	figure("ns", median(v, a->batches));
	figure("cpu", used / ((double)n * a->batches * objects));
	free(v);
}

/* status is a figure of /proc/self/status, in MB; 0 where there is none. */
static inline double status(const char *name)
{
	char line[256];
	double kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			kb = atof(line + strlen(name) + 1);
	fclose(f);
	return kb / 1024;
}

/* peak_starts forgets the peak so far; the memory in use now is returned. */
static inline double peak_starts(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	if (f) {
		fputs("5", f);
		fclose(f);
	}
	return status("VmRSS");
}

static inline void peak_ends(double before)
{
	double more = status("VmHWM") - before;

	figure("peak_mb", more > 0 ? more : 0);
}

/* evict pushes everything out of the caches that a core has for itself. */
static inline void evict(void)
{
	size_t n = (64 << 20) / sizeof(uint64_t), i;
	static volatile uint64_t *buf;

	if (!buf)
		buf = calloc(n, sizeof *buf);
	for (i = 0; i < n; i += 8)
		buf[i]++;
}

static inline uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static inline void shuffle(void **p, long n)
{
	long i;

	for (i = n - 1; i > 0; i--) {
		long j = (long)(rnd() % (uint64_t)(i + 1));
		void *t = p[i];

		p[i] = p[j];
		p[j] = t;
	}
}

/* parse also makes sure that malloc is the one that was meant. */
static inline struct args parse(int argc, char **argv)
{
	struct args a;
#ifdef ALLOCATOR
	Dl_info info;
	void *m = dlsym(RTLD_DEFAULT, "malloc");

	if (!m || !dladdr(m, &info) || !info.dli_fname || !strstr(info.dli_fname, ALLOCATOR))
		die("malloc is not " ALLOCATOR "'s");
#endif
	if (argc != 5)
		die("usage: PROGRAM MODE NS BATCHES OBJECTS");
	a.mode = argv[1];
	a.ns = atof(argv[2]);
	a.batches = atoi(argv[3]);
	a.objects = atol(argv[4]);
	if (a.ns <= 0 || a.batches < 1 || a.objects < 1)
		die("NS, BATCHES and OBJECTS are more than 0");
	return a;
}

#endif
