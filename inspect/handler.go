package inspect

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var indexPage []byte

// document is what Handler serves under a name.
type document struct {
	contentType string
	write       func(*bytes.Buffer) error
}

const (
	htmlType = "text/html; charset=utf-8"
	textType = "text/plain; charset=utf-8"
	jsonType = "application/json; charset=utf-8"
	heapType = "application/octet-stream"
)

// documents are the names below the handler's path.
var documents = map[string]document{
	"":              {htmlType, func(b *bytes.Buffer) error { b.Write(indexPage); return nil }},
	"slabinfo":      {textType, text(writeSlabinfo)},
	"caches":        {textType, text(writeCaches)},
	"rcu":           {textType, text(writeRCU)},
	"heap":          {heapType, func(b *bytes.Buffer) error { return WriteHeapProfile(b) }},
	"snapshot.json": {jsonType, func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(Snapshot()) }},
}

func text(write func(*bytes.Buffer, State)) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) error {
		write(b, Snapshot())
		return nil
	}
}

// The page is all in one file, and asks for nothing but snapshot.json.
const pagePolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler returns a handler for a path that ends in a slash:
//
//	http.Handle("/debug/quiesce/", inspect.Handler())
//
// Below it there are
//
//	                a page that shows all of it, live
//	slabinfo        slab caches, in the columns of Linux's /proc/slabinfo
//	caches          allocators, maps and caches, as text
//	rcu             readers, grace periods, stalls and callbacks, as text
//	heap            [WriteHeapProfile]
//	snapshot.json   [Snapshot]
//
// It answers GET and HEAD. What it shows are names and sizes, no data; still, it is
// for those who run the program. The package registers it nowhere.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	d, ok := documents[nameIn(r)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var b bytes.Buffer
	if err := d.write(&b); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", d.contentType)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch d.contentType {
	case htmlType:
		h.Set("Content-Security-Policy", pagePolicy)
	case heapType:
		h.Set("Content-Disposition", `attachment; filename="heap.pb.gz"`)
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(b.Bytes()) // the client may be gone
	}
}

// nameIn returns the part of a request's path below the pattern that the handler
// was registered for; without one, or if the path was changed, what follows the
// last slash.
func nameIn(r *http.Request) string {
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 {
		if rest, ok := strings.CutPrefix(r.URL.Path, r.Pattern[i:]); ok && strings.HasSuffix(r.Pattern, "/") {
			return rest
		}
	}
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
}
