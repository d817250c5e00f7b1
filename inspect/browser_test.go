package inspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/inspect"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

// browse returns the document that a browser has made of the page after n answers,
// each later than the one before by step, as the process has it. It skips the test
// where there is no browser.
func browse(t *testing.T, n int, step time.Duration) string {
	t.Helper()
	if race.Enabled {
		t.Skip("the page's script is the same in race builds")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no chromium")
	}
	handler := inspect.Handler()
	var asked atomic.Int64
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	field := regexp.MustCompile(`"time": ?"[^"]*"`) // the first is that of the snapshot
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/snapshot.json") {
			handler.ServeHTTP(w, r)
			return
		}
		i := min(asked.Add(1), int64(n)) - 1 // later answers are the last one again: the page ignores them
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		body := answer.Body.String()
		at := field.FindStringIndex(body)
		if at == nil {
			t.Error("snapshot.json has no time")
			return
		}
		fmt.Fprintf(w, `%s"time": %q%s`, body[:at[0]], begin.Add(time.Duration(i)*step).Format(time.RFC3339Nano), body[at[1]:])
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The page's timers run in virtual time, which stands still while it waits for
	// an answer.
	budget := strconv.Itoa(3000 * n)
	c := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget="+budget, "--dump-dom", s.URL+"/debug/quiesce/")
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		t.Skip("the browser does not run here: ", err)
	}
	if got := asked.Load(); got < int64(n) {
		t.Fatalf("the page asked %d times, want %d\n%s", got, n, out)
	}
	return string(out)
}

// The charts show what is there: three minutes at least, ten at most, and all of the
// width once it is more than three.
func TestTheChartsSpanWhatIsThere(t *testing.T) {
	axis := regexp.MustCompile(`<div class="x">(.*?)</div>`)
	label := regexp.MustCompile(`<span[^>]*>([^<]*)</span>`)
	first := regexp.MustCompile(`id="memoryPlot".*?<path d="M([0-9.]+) `)
	for _, c := range []struct {
		answers int
		step    time.Duration
		begins  float64 // where the data begin, of 1000
		labels  []string
	}{
		{4, 20 * time.Second, 2000.0 / 3, []string{"−3 min", "−2 min", "−1 min", "now"}},
		{12, 20 * time.Second, 0, []string{"−3 min", "−2 min", "−1 min", "now"}},
		{17, 20 * time.Second, 0, []string{"−4 min", "−2 min", "now"}}, // 5:20
		{20, time.Minute, 0, []string{"−10 min", "−8 min", "−6 min", "−4 min", "−2 min", "now"}},
	} {
		if !testkit.Long() && c.answers != 17 {
			continue // each takes seconds
		}
		doc := browse(t, c.answers, c.step)
		axes := axis.FindAllStringSubmatch(doc, -1)
		if len(axes) != 3 {
			t.Fatalf("%d charts have axes of time", len(axes))
		}
		for _, a := range axes {
			var got []string
			for _, l := range label.FindAllStringSubmatch(a[1], -1) {
				got = append(got, l[1])
			}
			if !slices.Equal(got, c.labels) {
				t.Errorf("%d answers, one every %v: the axis has %q, want %q", c.answers, c.step, got, c.labels)
			}
		}
		m := first.FindStringSubmatch(doc)
		if m == nil {
			t.Fatal("the chart of memory has no path")
		}
		if x, err := strconv.ParseFloat(m[1], 64); err != nil || x < c.begins-1 || x > c.begins+1 {
			t.Errorf("%d answers, one every %v: the data begin at %s of 1000, want %.0f", c.answers, c.step, m[1], c.begins)
		}
	}
}
