// Package otel reports to OpenTelemetry: the figures of every allocator, slab cache,
// map and cache of the process, of its readers and grace periods.
//
//	import (
//		"go.opentelemetry.io/otel"
//		offheap "quiesce/contrib/otel"
//	)
//
//	reporting, err := offheap.Register(otel.GetMeterProvider())
//
// All instruments are asynchronous: when a
// reader of the provider collects, they get the figures of one [inspect.Snapshot],
// which stops nobody. Nothing runs in between, and the program's fast paths don't
// change.
//
// The instruments are those of [inspect.Metrics], as quiesce.OF.NAME: quiesce.cache.hits
// is a counter, quiesce.allocator.resident a gauge in bytes. Their attributes are the
// names that the program gave its objects: quiesce.cache, quiesce.allocator. The SDK
// bounds how many of them there are (sdk/metric.WithCardinalityLimit, 2000 by default).
package otel

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"quiesce/inspect"
)

// scope is the name of the instrumentation scope.
const scope = "quiesce/contrib/otel"

// Register makes the instruments and reports to them until Unregister of what it
// returns. Call it once for a provider.
func Register(p metric.MeterProvider) (metric.Registration, error) {
	return register(p, inspect.Snapshot)
}

// instrument is a metric and what it is reported to.
type instrument struct {
	inspect.Metric
	metric.Float64Observable
	keys []attribute.Key
}

func register(p metric.MeterProvider, snapshot func() inspect.State) (metric.Registration, error) {
	meter := p.Meter(scope)
	var instruments []instrument
	var observables []metric.Observable
	var failed error
	for _, m := range inspect.Metrics() {
		name := "quiesce." + m.Of + "." + m.Name
		i := instrument{Metric: m}
		var err error
		if m.Counter {
			i.Float64Observable, err = meter.Float64ObservableCounter(name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		} else {
			i.Float64Observable, err = meter.Float64ObservableGauge(name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		}
		failed = errors.Join(failed, err)
		for _, l := range m.Labels {
			i.keys = append(i.keys, attribute.Key("quiesce."+l))
		}
		instruments, observables = append(instruments, i), append(observables, i.Float64Observable)
	}
	if failed != nil {
		return nil, failed
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := snapshot()
		for _, i := range instruments {
			for labels, v := range i.Values(&s) {
				o.ObserveFloat64(i.Float64Observable, v, metric.WithAttributeSet(i.attributes(labels)))
			}
		}
		return nil
	}, observables...)
}

// attributes returns those of an object. One that has no value is left out.
func (i instrument) attributes(labels []string) attribute.Set {
	kvs := make([]attribute.KeyValue, 0, len(labels))
	for n, l := range labels {
		if n == 0 || l != "" {
			kvs = append(kvs, i.keys[n].String(strings.ToValidUTF8(l, "\uFFFD")))
		}
	}
	return attribute.NewSet(kvs...)
}
