package otel_test

import (
	"context"
	"fmt"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	offheap "quiesce/contrib/otel"
	"quiesce/gfp"
	"quiesce/slab"
)

func Example() {
	reader := sdk.NewManualReader() // or one that exports
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	reporting, err := offheap.Register(provider)
	if err != nil {
		panic(err)
	}
	defer reporting.Unregister()

	nodes, err := slab.NewCache[[4]uint64]("nodes")
	if err != nil {
		panic(err)
	}
	defer nodes.Close()
	node := nodes.Alloc(gfp.Kernel)
	defer nodes.Free(node)

	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		panic(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "quiesce.slab_cache.objects_live" {
			live := m.Data.(metricdata.Gauge[float64]).DataPoints[0]
			name, _ := live.Attributes.Value("quiesce.slab_cache")
			fmt.Println(name.AsString(), live.Value)
		}
	}
	// Output:
	// nodes 1
}
