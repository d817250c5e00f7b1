package inspect_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"quiesce/inspect"
	"quiesce/rcuhash"
)

// The page is at http://…/debug/quiesce/, and has snapshot.json, slabinfo, caches,
// rcu and heap below it.
func ExampleHandler() {
	mux := http.NewServeMux() // of a listener that only operators reach
	mux.Handle("/debug/quiesce/", inspect.Handler())

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/quiesce/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output:
	// 200 text/html; charset=utf-8
}

func ExampleSnapshot() {
	m, err := rcuhash.New[int, int](0, rcuhash.WithName("squares"))
	if err != nil {
		panic(err)
	}
	defer m.Close()
	for i := range 10 {
		m.Put(i, i*i)
	}
	for _, m := range inspect.Snapshot().Maps {
		fmt.Println(m.Name, m.Keys)
	}
	// Output:
	// squares 10
}

// Labels say of which slab cache each sample is: -tagfocus=cache=NAME.
func ExampleWriteHeapProfile() {
	f, err := os.CreateTemp("", "heap*.pb.gz")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := inspect.WriteHeapProfile(f); err != nil {
		panic(err)
	}
	// $ go tool pprof -top heap.pb.gz
}
