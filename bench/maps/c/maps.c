/*
 * liburcu's rculfhash, the way child.go measures the other maps: keep the two
 * alike, for their figures stand side by side. Started as PROGRAM MODE NS
 * BATCHES KEYS; MODE is the kind of keys, a colon, and the works with a comma
 * after each.
 */
#define _GNU_SOURCE
#include <unistd.h>
#include "peers.h"

#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#define GROWTH 10
#define CHUNK 1000
#define MOST 8000000
#define MOST_UPDATED 250000
#define INT_KEY 8
#define STRING_KEY 29
#define TEXT_KEY 21
#define TEXT_VALUE 100
#define EXIT_WRONG 3

static struct args args;
static int klen; /* of all keys */

static uint64_t mix(uint64_t i)
{
	i *= 0x9e3779b97f4a7c15u;
	i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
	i = (i ^ i >> 27) * 0x94d049bb133111ebu;
	return i ^ i >> 31;
}

static uint64_t value_of(uint64_t i) { return i + 1; }

/* put_key writes a key by its number. */
static void put_key(char *to, uint64_t i)
{
	static const char hex[] = "0123456789abcdef";
	const char *prefix = klen == STRING_KEY ? "/api/session/" : "user:";
	uint64_t k = mix(i);
	size_t n = strlen(prefix);
	int j;

	if (klen == INT_KEY) {
		memcpy(to, &k, sizeof k);
		return;
	}
	memcpy(to, prefix, n);
	for (j = 0; j < 16; j++)
		to[n + (size_t)j] = hex[k >> (60 - 4 * j) & 15];
}

static inline unsigned long hash(const char *k)
{
	uint64_t h = 0x51afd7ed558ccd1bu, w;
	int i;

	if (klen == INT_KEY) {
		memcpy(&w, k, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		return h ^ h >> 32;
	}
	for (i = 0; i + 8 <= klen; i += 8) {
		memcpy(&w, k + i, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	memcpy(&w, k + klen - 8, 8);
	h = (h ^ w) * 0xff51afd7ed558ccdu;
	return h ^ h >> 32;
}

struct entry {
	struct cds_lfht_node node;
	struct rcu_head head;
	uint64_t value;
	char key[]; /* and a value of TEXT_VALUE bytes, in that mode */
};

static int match_int(struct cds_lfht_node *n, const void *key)
{
	return !memcmp(caa_container_of(n, struct entry, node)->key, key, INT_KEY);
}

static int match_string(struct cds_lfht_node *n, const void *key)
{
	return !memcmp(caa_container_of(n, struct entry, node)->key, key, STRING_KEY);
}

static int match_text(struct cds_lfht_node *n, const void *key)
{
	return !memcmp(caa_container_of(n, struct entry, node)->key, key, TEXT_KEY);
}

static cds_lfht_match_fct match;
static size_t extra; /* bytes after the key */

static void destroy(struct rcu_head *h) { free(caa_container_of(h, struct entry, head)); }

static struct cds_lfht *table_of(long hint)
{
	unsigned long n = 1;
	struct cds_lfht *t;

	while (n < (unsigned long)hint)
		n *= 2;
	t = cds_lfht_new_flavor(n, 1, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, &urcu_memb_flavor, NULL);
	if (!t)
		die("no table");
	return t;
}

static void put(struct cds_lfht *t, const char *key, uint64_t value)
{
	struct entry *e = malloc(sizeof *e + (size_t)klen + extra);
	struct cds_lfht_node *old;

	if (!e)
		die("no memory");
	cds_lfht_node_init(&e->node);
	e->value = value;
	memcpy(e->key, key, (size_t)klen);
	if (extra)
		memset(e->key + klen, (int)value, extra);
	urcu_memb_read_lock();
	old = cds_lfht_add_replace(t, hash(key), match, key, &e->node);
	urcu_memb_read_unlock();
	if (old)
		urcu_memb_call_rcu(&caa_container_of(old, struct entry, node)->head, destroy);
}

static void del(struct cds_lfht *t, const char *key)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *n;

	urcu_memb_read_lock();
	cds_lfht_lookup(t, hash(key), match, key, &it);
	n = cds_lfht_iter_get_node(&it);
	if (n && !cds_lfht_del(t, n))
		urcu_memb_call_rcu(&caa_container_of(n, struct entry, node)->head, destroy);
	urcu_memb_read_unlock();
}

/* right reports whether a key has the value; 0 stands for no value. */
static inline int right(struct cds_lfht *t, const char *key, uint64_t value)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *n;

	cds_lfht_lookup(t, hash(key), match, key, &it);
	n = cds_lfht_iter_get_node(&it);
	return n ? caa_container_of(n, struct entry, node)->value == value : !value;
}

struct probes {
	char *keys; /* klen each, in the order in which they are looked up */
	uint64_t *vals;
	long n;
};

static struct probes probes_of(const uint32_t *numbers, long n, uint64_t offset, int absent)
{
	struct probes p = {malloc((size_t)n * (size_t)klen), malloc((size_t)n * sizeof *p.vals), n};
	long i;

	if (!p.keys || !p.vals)
		die("no memory");
	for (i = 0; i < n; i++) {
		put_key(p.keys + i * klen, offset + numbers[i]);
		p.vals[i] = absent ? 0 : value_of(offset + numbers[i]);
	}
	return p;
}

static uint32_t *shuffled(long n)
{
	uint32_t *v = malloc((size_t)n * sizeof *v);
	long i;

	if (!v)
		die("no memory");
	for (i = 0; i < n; i++)
		v[i] = (uint32_t)i;
	for (i = n - 1; i > 0; i--) {
		uint64_t j = (mix((uint64_t)i) >> 32) * (uint64_t)(i + 1) >> 32;
		uint32_t x = v[i];

		v[i] = v[j];
		v[j] = x;
	}
	return v;
}

static struct cds_lfht *table;
static struct probes there, absent, again;

/* A thread's keys to insert and delete. */
static struct update {
	struct probes keys;
	long window, inserted, turn;
	char pad[64];
} updates[2];

static long each(struct probes *p, long from, long to)
{
	long i, wrong = 0;

	for (i = from; i < to; i++) {
		urcu_memb_read_lock();
		wrong += !right(table, p->keys + i * klen, p->vals[i]);
		urcu_memb_read_unlock();
	}
	return wrong;
}

static long one_section(struct probes *p, long from, long to)
{
	long i, wrong = 0;

	urcu_memb_read_lock();
	for (i = from; i < to; i++)
		wrong += !right(table, p->keys + i * klen, p->vals[i]);
	urcu_memb_read_unlock();
	return wrong;
}

static void update(int g)
{
	struct update *u = &updates[g];
	long at;

	switch (++u->turn % 3) {
	case 0:
		at = (u->inserted * 7 + g) % again.n;
		put(table, again.keys + at * klen, again.vals[at]);
		return;
	case 1:
		at = u->inserted++ % u->keys.n;
		put(table, u->keys.keys + at * klen, u->keys.vals[at]);
		return;
	}
	at = (u->inserted - 1 - u->window) % u->keys.n;
	del(table, u->keys.keys + at * klen);
}

/* What a thread does again and again: it returns the operations. */
struct worker;
typedef long (*step_fn)(struct worker *w);

struct worker {
	pthread_t id;
	int g, n;
	step_fn step;
	long (*look)(struct probes *, long, long);
	struct probes *probes;
	long every, at, wrong;
	double insert, remove, ops; /* of turns */
	double rate[1000];
};

static pthread_barrier_t gate;

static void *working(void *arg)
{
	struct worker *w = arg;
	int b;

	urcu_memb_register_thread();
	pthread_barrier_wait(&gate);
	for (b = -1; b < args.batches; b++) {
		double start = now(), end = start;
		long ops = 0;

		while (end - start < args.ns) {
			ops += w->step(w);
			end = now();
		}
		if (b >= 0)
			w->rate[b] = (double)ops / (end - start);
	}
	urcu_memb_unregister_thread();
	return NULL;
}

static struct worker workers[2];

/* together runs a work in n threads: the figure is the wall time by the operations of all. */
static void together(const char *name, int n, step_fn step, const char *way)
{
	double v[1000];
	char full[64];
	long wrong = 0;
	int g, b;

	pthread_barrier_init(&gate, NULL, (unsigned)n);
	for (g = 0; g < n; g++) {
		workers[g].g = g;
		workers[g].n = n;
		workers[g].step = step;
		workers[g].at = g * (workers[g].probes->n / n);
		workers[g].wrong = 0;
		workers[g].insert = workers[g].remove = workers[g].ops = 0;
		if (pthread_create(&workers[g].id, NULL, working, &workers[g]))
			die("no thread");
	}
	for (g = 0; g < n; g++) {
		pthread_join(workers[g].id, NULL);
		wrong += workers[g].wrong;
	}
	pthread_barrier_destroy(&gate);
	for (b = 0; b < args.batches; b++) {
		v[b] = 0;
		for (g = 0; g < n; g++)
			v[b] += workers[g].rate[b];
		v[b] = 1 / v[b];
	}
	snprintf(full, sizeof full, "%s.%d%s%s", name, n, *way ? "." : "", way);
	figure(full, median(v, args.batches));
	if (wrong) {
		fprintf(stderr, "WRONG RESULT: %ld of %s\n", wrong, full);
		exit(EXIT_WRONG);
	}
}

static long step_look(struct worker *w)
{
	long from, to;

	if (w->at >= w->probes->n)
		w->at = 0;
	from = w->at;
	to = w->at = from + CHUNK < w->probes->n ? from + CHUNK : w->probes->n;
	if (!w->every) {
		w->wrong += w->look(w->probes, from, to);
		return to - from;
	}
	for (long i = from; i < to; i += w->every) {
		update(w->g);
		w->wrong += w->look(w->probes, i, i + w->every - 1 < to ? i + w->every - 1 : to);
	}
	return to - from;
}

static long step_put(struct worker *w)
{
	long from, i;

	if (w->at >= w->probes->n)
		w->at = 0;
	from = w->at;
	w->at = from + CHUNK < w->probes->n ? from + CHUNK : w->probes->n;
	for (i = from; i < w->at; i++)
		put(table, again.keys + i * klen, again.vals[i]);
	return w->at - from;
}

static long step_turn(struct worker *w)
{
	struct update *u = &updates[w->g];
	double start = now(), middle;
	long i, from;

	if (w->at + u->window > u->keys.n)
		w->at = 0;
	from = w->at;
	w->at += u->window;
	for (i = from; i < w->at; i++)
		put(table, u->keys.keys + i * klen, u->keys.vals[i]);
	middle = now();
	for (i = from; i < w->at; i++)
		del(table, u->keys.keys + i * klen);
	w->insert += middle - start;
	w->remove += now() - middle;
	w->ops += (double)u->window;
	return 2 * u->window;
}

static int wants(const char *work, int n)
{
	char name[64];

	snprintf(name, sizeof name, "%s.%d,", work, n);
	return strstr(args.mode, name) != NULL;
}

static void check(void)
{
	long wrong = one_section(&there, 0, there.n) + one_section(&absent, 0, absent.n);

	if (wrong) {
		fprintf(stderr, "WRONG RESULT: %ld of all keys\n", wrong);
		exit(EXIT_WRONG);
	}
}

static void all_with(long (*look)(struct probes *, long, long), struct probes *p, long every)
{
	for (int g = 0; g < 2; g++) {
		workers[g].look = look;
		workers[g].probes = p;
		workers[g].every = every;
	}
}

static void look_ups(int n)
{
	if (wants("hit", n)) {
		all_with(each, &there, 0);
		together("hit", n, step_look, "each");
		all_with(one_section, &there, 0);
		together("hit", n, step_look, "one");
	}
	if (wants("miss", n)) {
		all_with(each, &absent, 0);
		together("miss", n, step_look, "each");
		all_with(one_section, &absent, 0);
		together("miss", n, step_look, "one");
	}
}

static void mixed(const char *name, int n, long every)
{
	int g;
	long i;

	if (!wants(name, n))
		return;
	for (g = 0; g < n; g++) {
		struct update *u = &updates[g];

		for (i = 0; i < u->window; i++)
			put(table, u->keys.keys + i * klen, u->keys.vals[i]);
		u->inserted = u->window;
		u->turn = 0;
	}
	all_with(each, &there, every);
	together(name, n, step_look, "each");
	for (g = 0; g < n; g++)
		for (i = 0; i < updates[g].keys.n; i++)
			del(table, updates[g].keys.keys + i * klen);
	urcu_memb_barrier();
}

static void update_works(int n)
{
	mixed("mixed5", n, 20);
	mixed("mixed50", n, 2);
	if (wants("put", n)) {
		all_with(each, &again, 0);
		together("put", n, step_put, "each");
		urcu_memb_barrier();
	}
	if (wants("insert", n)) {
		double insert = 0, removal = 0;
		char name[64];

		all_with(each, &again, 0);
		together("turn", n, step_turn, "");
		for (int g = 0; g < n; g++) {
			insert += workers[g].ops / workers[g].insert;
			removal += workers[g].ops / workers[g].remove;
		}
		snprintf(name, sizeof name, "insert.%d.each", n);
		figure(name, 1 / insert);
		snprintf(name, sizeof name, "delete.%d.each", n);
		figure(name, 1 / removal);
		urcu_memb_barrier();
	}
}

static void put_all(struct cds_lfht *t, long from, long to)
{
	char key[32];

	for (long i = from; i < to; i++) {
		put_key(key, (uint64_t)i);
		put(t, key, value_of((uint64_t)i));
	}
}

static void all_there(struct cds_lfht *t, long n)
{
	char key[32];
	long i, wrong = 0;

	urcu_memb_read_lock();
	for (i = 0; i < n; i++) {
		put_key(key, (uint64_t)i);
		wrong += !right(t, key, value_of((uint64_t)i));
	}
	urcu_memb_read_unlock();
	if (wrong) {
		fprintf(stderr, "WRONG RESULT: %ld of %ld keys\n", wrong, n);
		exit(EXIT_WRONG);
	}
}

static void look(void)
{
	uint32_t *order = shuffled(args.objects);
	long n = args.objects < MOST ? args.objects : MOST;
	long few = n < MOST_UPDATED ? n : MOST_UPDATED;
	double start;
	int g;

	table = table_of(args.objects);
	start = now();
	put_all(table, 0, args.objects);
	figure("build", (now() - start) / (double)args.objects);
	there = probes_of(order, n, 0, 0);
	absent = probes_of(order, n, (uint64_t)args.objects, 1);
	again = probes_of(order, few, 0, 0);
	for (g = 0; g < 2; g++) {
		updates[g].keys = probes_of(order, few, (uint64_t)((2 + g) * args.objects), 0);
		updates[g].window = few / 100 < 1 ? 1 : few / 100 < CHUNK ? few / 100 : CHUNK;
	}
	check();
	for (g = 1; g <= 2; g++) {
		look_ups(g);
		update_works(g);
	}
	check();
}

/* A histogram with 64 steps for each doubling. */
#define STEPS 64
static long counts[64 * STEPS];

static void record(double ns)
{
	uint64_t v = ns < 1 ? 1 : (uint64_t)ns;
	int top = 63 - __builtin_clzll(v);
	uint64_t low = top < 6 ? (v << (6 - top)) - STEPS : (v >> (top - 6)) - STEPS;

	counts[top * STEPS + (long)low]++;
}

static double p999(void)
{
	long all = 0, seen = 0, i;

	for (i = 0; i < 64 * STEPS; i++)
		all += counts[i];
	for (i = 0; i < 64 * STEPS; i++) {
		seen += counts[i];
		if ((double)seen >= 0.999 * (double)all)
			break;
	}
	return (double)(1ull << (i / STEPS)) * (1 + (double)(i % STEPS) / STEPS);
}

static int full;
static double longest;

static void *growing(void *arg)
{
	double used, next;
	char key[32];
	long i;

	(void)arg;
	urcu_memb_register_thread();
	used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (i = args.objects; i < GROWTH * args.objects; i++) {
		put_key(key, (uint64_t)i);
		put(table, key, value_of((uint64_t)i));
		next = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		if (next - used > longest)
			longest = next - used;
		used = next;
	}
	urcu_memb_unregister_thread();
	__atomic_store_n(&full, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* longest_idle is what the machine itself adds to a thread's time, for so many ns. */
static double longest_idle(double ns)
{
	double end = now() + ns, most = 0, used, next;

	used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (now() < end) {
		next = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		if (next - used > most)
			most = next - used;
		used = next;
	}
	return most;
}

/* latencies takes each look-up's time: at rest for so many, or until it is full. */
static double latencies(struct probes *p, long n)
{
	long wrong = 0, at = 0, i;

	memset(counts, 0, sizeof counts);
	for (i = 0; i < CHUNK || (n ? i < n : !__atomic_load_n(&full, __ATOMIC_RELAXED)); i++) {
		double start = now();

		wrong += each(p, at, at + 1);
		record(now() - start);
		at = at + 1 < p->n ? at + 1 : 0;
	}
	if (wrong) {
		fprintf(stderr, "WRONG RESULT: %ld of %ld look-ups\n", wrong, i);
		exit(EXIT_WRONG);
	}
	return p999();
}

static void grow(void)
{
	uint32_t *order = shuffled(args.objects);
	long rest = (long)(args.ns * args.batches / 100);
	double start, before, after;
	struct probes p;
	pthread_t id;

	table = table_of(args.objects);
	put_all(table, 0, args.objects);
	start = now();
	put_all(table, args.objects, GROWTH * args.objects);
	figure("grow", (now() - start) / (double)((GROWTH - 1) * args.objects));

	table = table_of(args.objects);
	put_all(table, 0, args.objects);
	p = probes_of(order, args.objects < MOST ? args.objects : MOST, 0, 0);
	before = latencies(&p, rest < CHUNK ? CHUNK : rest);
	start = now();
	if (pthread_create(&id, NULL, growing, NULL))
		die("no thread");
	figure("during", latencies(&p, 0));
	pthread_join(id, NULL);
	figure("longest_put", longest);
	figure("longest_idle", longest_idle(now() - start));
	after = latencies(&p, rest < CHUNK ? CHUNK : rest);
	figure("rest", before > after ? before : after);
	all_there(table, GROWTH * args.objects);
}

static void rss(void)
{
	double before = status("VmRSS"), after;

	table = table_of(1024); /* it grows late: by its own thread, which may have to wait for a processor */
	put_all(table, 0, args.objects);
	urcu_memb_barrier();
	after = status("VmRSS");
	figure("bytes", after > before ? (after - before) * (1 << 20) / (double)args.objects : 0);
	after = status("VmHWM");
	figure("peak", after > before ? (after - before) * (1 << 20) / (double)args.objects : 0);
	all_there(table, args.objects);
}

static int is(const char *kind)
{
	size_t n = strlen(kind);

	return !strncmp(args.mode, kind, n) && (!args.mode[n] || args.mode[n] == ':');
}

int main(int argc, char **argv)
{
	args = parse(argc, argv);
	if (args.batches > 1000)
		die("BATCHES is at most 1000");
	urcu_memb_register_thread();
	klen = is("string") ? STRING_KEY : is("texts") ? TEXT_KEY : INT_KEY;
	match = is("string") ? match_string : is("texts") ? match_text : match_int;
	extra = is("texts") ? TEXT_VALUE : 0;
	if (is("uint64") || is("string"))
		look();
	else if (is("grow"))
		grow();
	else if (is("rss") || is("texts"))
		rss();
	else
		die("no such mode");
	figure("ok", 1);
	fflush(stdout);
	_exit(0); /* the tables end with the process */
}
