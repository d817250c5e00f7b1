// Package prom is a collector for Prometheus: the figures of every allocator, slab
// cache, map and cache of the process, of its readers and grace periods.
//
//	reg := prometheus.NewRegistry()
//	reg.MustRegister(prom.NewCollector())
//	http.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
//
// A scrape takes one [inspect.Snapshot], which stops nobody. Nothing runs between
// scrapes, and the program's fast paths don't change.
//
// # Metrics
//
// They are those of [inspect.Metrics], in the form quiesce_OF_NAME, with the base unit
// if they have one, and _total if they are counters:
//
//	quiesce_allocator_resident_bytes{allocator="default"}
//	quiesce_slab_cache_objects_live{slab_cache="sessions-64", allocator="sessions", owner="sessions"}
//	quiesce_map_keys{map="routes", allocator="default"}
//	quiesce_cache_hits_total{cache="sessions", allocator="sessions"}
//	quiesce_rcu_grace_periods_total
//
// The hit ratio of a cache over five minutes is
//
//	  rate(quiesce_cache_hits_total[5m])
//	/ (rate(quiesce_cache_hits_total[5m]) + rate(quiesce_cache_misses_total[5m]))
//
// and what caches, maps and others leave of their allocator's limit
//
//	quiesce_allocator_limit_bytes - quiesce_allocator_resident_bytes
//
// # How many series there are
//
// The only values of labels are names that the program gave its objects, so there are
// as many series as objects. Of each kind the first 100 have series of their own, or
// as many as [WithMaxNames] says. The rest are added up in one series, whose first
// label is "other"; an object whose name is "other" or no UTF-8 is always among them.
// An object that was scraped stays where it is, and leaves its place to a later one
// when it is closed.
//
// A counter begins anew when its object is closed and another one gets the name, which
// Prometheus takes for a restart. The counters of "other" never fall: they keep what
// objects had counted that were closed.
package prom
