package prom_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"quiesce/cache"
	"quiesce/contrib/prom"
)

func Example() {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prom.NewCollector())
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))

	sessions, err := cache.New(cache.Options[string, int]{Name: "sessions", MaxBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	defer sessions.Close()
	_ = sessions.Set("7f3a", 7)
	sessions.Get("7f3a")

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "quiesce_cache_hits_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// quiesce_cache_hits_total{allocator="sessions",cache="sessions"} 1
}

// At most ten caches have series of their own, ten maps, and so on.
func ExampleWithMaxNames() {
	err := prometheus.NewRegistry().Register(prom.NewCollector(prom.WithMaxNames(10)))
	fmt.Println(err)
	// Output:
	// <nil>
}
