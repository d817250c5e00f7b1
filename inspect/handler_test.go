package inspect_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/inspect"
	"quiesce/rcu"
	"quiesce/slab"
)

// serve returns a server with the handler at the usual place.
func serve(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/debug/quiesce/", inspect.Handler())
	mux.Handle("/other/", http.StripPrefix("/other", inspect.Handler()))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequest(method, url, nil))
	answer := must[*http.Response](t)(http.DefaultTransport.RoundTrip(r))
	defer answer.Body.Close()
	return answer, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}

var documents = map[string]string{
	"":              "text/html; charset=utf-8",
	"slabinfo":      "text/plain; charset=utf-8",
	"caches":        "text/plain; charset=utf-8",
	"rcu":           "text/plain; charset=utf-8",
	"heap":          "application/octet-stream",
	"snapshot.json": "application/json; charset=utf-8",
}

func TestHandlerServesItsDocuments(t *testing.T) {
	s := serve(t)
	for name, kind := range documents {
		for _, at := range []string{"/debug/quiesce/", "/other/"} {
			answer, body := get(t, "GET", s.URL+at+name)
			if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != kind || body == "" {
				t.Errorf("GET %s%s: %s, %s, %d bytes", at, name, answer.Status, answer.Header.Get("Content-Type"), len(body))
			}
			if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("GET %s%s: %v", at, name, answer.Header)
			}
		}
		answer, body := get(t, "HEAD", s.URL+"/debug/quiesce/"+name)
		if answer.StatusCode != 200 || body != "" || answer.ContentLength <= 0 || answer.Header.Get("Content-Type") != kind {
			t.Errorf("HEAD %s: %s, %q, length %d", name, answer.Status, body, answer.ContentLength)
		}
		answer, _ = get(t, "POST", s.URL+"/debug/quiesce/"+name)
		if answer.StatusCode != 405 || answer.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %s, Allow %q", name, answer.Status, answer.Header.Get("Allow"))
		}
	}
	for _, name := range []string{"nothing", "slabinfo/", "x/slabinfo", "heap/x"} {
		if answer, _ := get(t, "GET", s.URL+"/debug/quiesce/"+name); answer.StatusCode != 404 {
			t.Errorf("GET %s: %s", name, answer.Status)
		}
	}
}

// The page is one file: it asks for nothing but snapshot.json, and puts what comes
// from there into the document as text.
func TestThePageIsSelfContainedAndSafe(t *testing.T) {
	s := serve(t)
	answer, body := get(t, "GET", s.URL+"/debug/quiesce/")
	if len(body) > 200<<10 {
		t.Errorf("%d bytes", len(body))
	}
	if p := answer.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || !strings.Contains(p, "connect-src 'self'") {
		t.Errorf("policy %q", p)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if _, ok := documents[m[1]]; !ok && m[1] != "data:," {
			t.Errorf("the page refers to %s", m[1])
		}
	}
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import", "url("} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, want := range []string{`<html lang="en">`, "prefers-color-scheme: dark", `name="viewport"`, `scope="col"`, "<caption>", `role="status"`, "aria-label"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	// What the script looks up is there, and what it reads is in the JSON.
	for _, m := range regexp.MustCompile(`\$\("(\w+)"\)`).FindAllStringSubmatch(body, -1) {
		if !strings.Contains(body, `id="`+m[1]+`"`) {
			t.Errorf("the script looks for #%s, which is not there", m[1])
		}
	}
	text := string(must[[]byte](t)(json.Marshal(inspect.State{
		Allocators: make([]inspect.Allocator, 1), SlabCaches: make([]inspect.SlabCache, 1), Maps: make([]inspect.Map, 1), Caches: make([]inspect.Cache, 1),
		RCU: inspect.RCU{Running: make([]inspect.Callback, 1), Events: make([]inspect.Event, 1)},
	})))
	for _, m := range regexp.MustCompile(`\.([a-z]+(?:_[a-z]+)+)\b`).FindAllStringSubmatch(body, -1) {
		if !strings.Contains(text, `"`+m[1]+`":`) {
			t.Errorf("the script reads %s, which is not in snapshot.json", m[1])
		}
	}
}

// Names are the program's, and may be anything.
func TestNamesAreEscaped(t *testing.T) {
	const name = "<script>alert(1)</script> a\tb\n\"c\""
	a := pages(t, 0)
	c := must[*slab.Cache[object]](t)(slab.NewCache[object](name, slab.WithAllocator(a)))
	c.Free(c.Alloc(gfp.Kernel))
	s := serve(t)
	for doc := range documents {
		if _, body := get(t, "GET", s.URL+"/debug/quiesce/"+doc); strings.Contains(body, "<script>alert") && !strings.HasPrefix(documents[doc], "text/plain") {
			t.Errorf("%q has the name as it is", doc)
		}
	}
	_, body := get(t, "GET", s.URL+"/debug/quiesce/snapshot.json")
	var state inspect.State
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatal(err)
	}
	find(t, state.SlabCaches, name, func(c inspect.SlabCache) string { return c.Name })
	for _, doc := range []string{"slabinfo", "caches"} {
		_, body := get(t, "GET", s.URL+"/debug/quiesce/"+doc)
		found := false
		for line := range strings.Lines(body) {
			fields := strings.Fields(line)
			if len(fields) > 0 && fields[0] == `"<script>alert(1)</script>\x20a\tb\n\"c\""` {
				found = len(fields) == map[string]int{"slabinfo": 16, "caches": 10}[doc]
			}
		}
		if !found {
			t.Errorf("%s has no line of that name:\n%s", doc, body)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheRCUPage(t *testing.T) {
	s := serve(t)
	rcu.Read(func(rcu.Guard) {
		_, body := get(t, "GET", s.URL+"/debug/quiesce/rcu")
		if !regexp.MustCompile(`(?m)^readers_preemptible +1$`).MatchString(body) {
			t.Errorf("no reader in\n%s", body)
		}
	})
}
