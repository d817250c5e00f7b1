package prom

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"quiesce/inspect"
)

const (
	namespace = "quiesce"
	// other is the first label of the series that has the rest of a kind of object.
	other = "other"
	// defaultMaxNames times some 20 metrics is a few thousand series. Untuned.
	defaultMaxNames = 100
)

// Option changes what [NewCollector] does.
type Option func(*collector)

// WithMaxNames sets how many objects of each kind (allocators, slab caches, maps,
// caches) have series of their own. The default is 100. With 0 or less there is only
// the series "other" of each kind.
func WithMaxNames(n int) Option { return func(c *collector) { c.maxNames = max(n, 0) } }

// NewCollector returns a collector of everything in the process that is not closed.
// Register one: a second one with the same registerer is an error, since it has the
// same metrics. It may be collected by several goroutines at once.
func NewCollector(opts ...Option) prometheus.Collector {
	c := &collector{maxNames: defaultMaxNames, snapshot: inspect.Snapshot, named: map[string]names{}}
	for _, m := range inspect.Metrics() {
		c.metrics = append(c.metrics, &metric{Metric: m, desc: prometheus.NewDesc(metricName(m), m.Help, m.Labels, nil)})
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

// metricName returns a name by Prometheus's rules.
func metricName(m inspect.Metric) string {
	name := prometheus.BuildFQName(namespace, m.Of, m.Name)
	switch m.Unit {
	case "By":
		name += "_bytes"
	case "s":
		name += "_seconds"
	}
	if m.Counter {
		name += "_total"
	}
	return name
}

type collector struct {
	maxNames int
	snapshot func() inspect.State // inspect.Snapshot, but for tests

	mu      sync.Mutex // a scrape, whole: protects what follows
	named   map[string]names
	metrics []*metric
}

// names has the objects of a kind: true for those that have series of their own.
type names map[string]bool

// metric is a metric, and what the counter of its series "other" is made of.
type metric struct {
	inspect.Metric
	desc *prometheus.Desc

	// last has the counter's value of each object that was among the rest at the
	// last scrape, and past the sum of those that are not any more. The counter is
	// the sum of both.
	last map[string]float64
	past float64
}

// Describe sends all metrics that Collect can send.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect sends the figures of one Snapshot.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snapshot() // under the lock: counters of a later scrape are not older
	of := ""
	for _, m := range c.metrics {
		if m.Of != of && len(m.Labels) > 0 {
			of = m.Of
			c.named[of] = c.choose(m, &s)
		}
		m.collect(&s, c.named[of], ch)
	}
}

// choose decides which objects of m's kind have series of their own. One that was
// there at the last scrape stays where it was, so that nothing is counted twice.
func (c *collector) choose(m *metric, s *inspect.State) names {
	before, now, n := c.named[m.Of], names{}, 0
	for labels := range m.Values(s) {
		if own, ok := before[labels[0]]; ok {
			now[labels[0]] = own
			if own {
				n++
			}
		}
	}
	for labels := range m.Values(s) {
		name := labels[0]
		if _, ok := now[name]; ok {
			continue
		}
		now[name] = n < c.maxNames && utf8.ValidString(name) && name != other
		if now[name] {
			n++
		}
	}
	return now
}

func (m *metric) collect(s *inspect.State, named names, ch chan<- prometheus.Metric) {
	kind := prometheus.GaugeValue
	if m.Counter {
		kind = prometheus.CounterValue
	}
	rest := map[string]float64{}
	for labels, v := range m.Values(s) {
		if len(labels) > 0 && !named[labels[0]] {
			rest[labels[0]] = v
			continue
		}
		for i, l := range labels {
			labels[i] = strings.ToValidUTF8(l, "\uFFFD")
		}
		ch <- prometheus.MustNewConstMetric(m.desc, kind, v, labels...)
	}
	if sum, ok := m.addUp(rest); ok {
		labels := make([]string, len(m.Labels)) // an empty one is one that is not there
		labels[0] = other
		ch <- prometheus.MustNewConstMetric(m.desc, kind, sum, labels...)
	}
}

// addUp returns the value of the series "other", if there is one. A counter of it
// must not fall when an object is closed, even if another one gets its name: then the
// value that was seen last moves from last to past. Once there, the series stays.
func (m *metric) addUp(rest map[string]float64) (sum float64, ok bool) {
	if m.Counter {
		for name, was := range m.last {
			if now, ok := rest[name]; !ok || now < was {
				m.past += was
			}
		}
		ok = m.last != nil
		if len(rest) > 0 || ok {
			m.last = rest
		}
	}
	for _, v := range rest {
		sum += v
	}
	return m.past + sum, ok || len(rest) > 0
}
