package otel

import (
	"errors"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"quiesce/cache"
	"quiesce/inspect"
	"quiesce/rcuhash"
)

func collect(t *testing.T, r *sdk.ManualReader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]metricdata.Metrics{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			out[m.Name] = m
		}
	}
	return out
}

// points returns a metric's data points, and whether it is a counter.
func points(t *testing.T, m metricdata.Metrics) (ps []metricdata.DataPoint[float64], counter bool) {
	t.Helper()
	switch d := m.Data.(type) {
	case metricdata.Gauge[float64]:
		return d.DataPoints, false
	case metricdata.Sum[float64]:
		return d.DataPoints, d.IsMonotonic && d.Temporality == metricdata.CumulativeTemporality
	}
	t.Fatalf("%s is a %T", m.Name, m.Data)
	return nil, false
}

func TestWhatIsCollectedIsTheSnapshot(t *testing.T) {
	c, err := cache.New(cache.Options[int, int]{Name: "squares", MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 100 {
		if err := c.Set(i, i*i); err != nil {
			t.Fatal(err)
		}
		c.Get(i - 10)
	}
	m, err := rcuhash.New[int, int](0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	var s inspect.State
	reporting, err := register(provider, func() inspect.State { s = inspect.Snapshot(); return s })
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, reader)
	if hits, _ := points(t, got["quiesce.cache.hits"]); len(hits) != 1 || hits[0].Value != 90 {
		t.Errorf("%+v, want 90 hits", hits)
	}
	for _, m := range inspect.Metrics() {
		name := "quiesce." + m.Of + "." + m.Name
		if got[name].Unit != m.Unit || got[name].Description != m.Help {
			t.Errorf("%s: %+v", name, got[name])
		}
		ps, counter := points(t, got[name])
		if counter != m.Counter {
			t.Errorf("%s: counter %v", name, counter)
		}
		want := 0
		for labels, v := range m.Values(&s) {
			var kvs []attribute.KeyValue
			for i, l := range labels {
				if l != "" {
					kvs = append(kvs, attribute.String("quiesce."+m.Labels[i], l))
				}
			}
			set := attribute.NewSet(kvs...)
			if !slices.ContainsFunc(ps, func(p metricdata.DataPoint[float64]) bool { return p.Attributes.Equals(&set) && p.Value == v }) {
				t.Errorf("%s: no %v of %v", name, v, labels)
			}
			want++
		}
		if len(ps) != want || want == 0 {
			t.Errorf("%s: %d points, want %d", name, len(ps), want)
		}
	}
	if len(got) != len(inspect.Metrics()) {
		t.Errorf("%d instruments, want %d", len(got), len(inspect.Metrics()))
	}
	if err := reporting.Unregister(); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); len(got) != 0 {
		t.Errorf("%d instruments after Unregister", len(got))
	}
}

// A provider that can't make the instruments says so.
type broken struct{ embedded.MeterProvider }

var errBroken = errors.New("broken")

func (broken) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ noop.Meter }

func (brokenMeter) Float64ObservableGauge(string, ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return nil, errBroken
}

func TestWhatFailsIsReturned(t *testing.T) {
	if r, err := Register(broken{}); !errors.Is(err, errBroken) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}
