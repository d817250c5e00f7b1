package kit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// A test binary that is called like a child is one.
func TestMain(m *testing.M) {
	if job, ok := ChildJob(os.Args[1:]); ok {
		os.Exit(childMain(job))
	}
	os.Exit(m.Run())
}

type message struct {
	N int `json:"n"`
}

func childMain(job string) int {
	var order struct{ N int }
	ended := make(chan bool)
	if err := Receive(os.Stdin, &order, func() { close(ended) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch job {
	case "count":
		for i := range order.N {
			fmt.Printf("{\"n\":%d}\n", i)
		}
		fmt.Println("no message")
		fmt.Fprintln(os.Stderr, os.Getenv("QUIESCE"))
	case "wait":
		fmt.Println(`{"n":1}`)
		<-ended
		fmt.Println(`{"n":2}`)
		return 3
	case "deaf":
		fmt.Println(`{"n":1}`)
		time.Sleep(time.Minute)
	case "dying":
		fmt.Fprint(os.Stderr, "fatal error: schedule: holding locks\n")
		time.Sleep(time.Minute)
	}
	return 0
}

func child(job string) Child {
	return Child{Command: append([]string{os.Args[0]}, ChildArgs(job)...), Grace: 10 * time.Second}
}

func TestAChildAnswersItsOrder(t *testing.T) {
	c := child("count")
	c.Options = []string{"a=1", "b=2"}
	sum := 0
	e, err := Ask(t.Context(), c, map[string]int{"N": 10}, func(m message) bool { sum += m.N; return false })
	if err != nil || e.Err != nil || sum != 45 {
		t.Errorf("%v, %v: sum %d", err, e.Err, sum)
	}
	if log := e.Log.String(); !strings.Contains(log, "no message\n") || !strings.Contains(log, "a=1,b=2\n") {
		t.Errorf("the log is %q", log)
	}
}

func TestTheContextEndsAChild(t *testing.T) {
	for _, c := range []struct {
		job         string
		grace       time.Duration
		code, until int
	}{{"wait", time.Minute, 3, 2}, {"deaf", 0, -1, 1}, {"deaf", 10 * time.Millisecond, -1, 1}} {
		ctx, cancel := context.WithCancel(t.Context())
		how := child(c.job)
		how.Grace = c.grace
		last := 0
		e, err := Ask(ctx, how, nil, func(m message) bool { last = m.N; cancel(); return false })
		if err != nil || e.Code != c.code || last > c.until || e.Late {
			t.Errorf("%+v: %v, %+v, last message %d", c, err, e, last)
		}
	}
}

func TestAChildBeyondItsLimitIsKilled(t *testing.T) {
	c := child("deaf")
	c.Limit = 200 * time.Millisecond
	e, err := Ask(t.Context(), c, nil, func(message) bool { return true })
	if err != nil || !e.Late || e.Code != -1 {
		t.Errorf("%v, %+v", err, e)
	}
}

// The runtime hangs at times when it dies.
func TestAChildThatHangsOverAFatalErrorIsKilled(t *testing.T) {
	c := child("dying")
	c.Limit = time.Hour
	e, err := Ask(t.Context(), c, nil, func(message) bool { return false })
	if err != nil || e.Late || e.Code != -1 || e.Log.Cause() != "schedule: holding locks" {
		t.Errorf("%v, %+v", err, e)
	}
}

func TestAChildThatCannotBeStartedIsAnError(t *testing.T) {
	if _, err := Ask(t.Context(), Child{Command: []string{"/nowhere/at/all"}}, nil, func(message) bool { return false }); err == nil {
		t.Error("no error")
	}
}

func TestAPassedChildWritesToItsParentsStreams(t *testing.T) {
	var out, errs strings.Builder
	e, err := Pass(t.Context(), child("count"), map[string]int{"N": 2}, &out, &errs)
	if err != nil || e.Err != nil || !strings.HasPrefix(out.String(), "{\"n\":0}\n") {
		t.Errorf("%v, %+v: %q %q", err, e, out.String(), errs.String())
	}
}

func TestALogKeepsBothEnds(t *testing.T) {
	var l Log
	fmt.Fprintln(&l, "first")
	for range 10_000 {
		fmt.Fprintln(&l, "between them")
	}
	fmt.Fprintln(&l, "panic: it is full")
	if s := l.String(); len(s) > 2*logBytes+10 || l.First() != "first" || l.Last() != "panic: it is full" || l.Cause() != "it is full" {
		t.Errorf("%d bytes, %q, %q, %q", len(s), l.First(), l.Last(), l.Cause())
	}
}

func TestQuantilesMediansAndSpread(t *testing.T) {
	v := []float64{3, 1, 4, 2}
	for _, c := range []struct{ got, want float64 }{
		{Quantile(v, 0), 1}, {Quantile(v, 0.5), 2}, {Quantile(v, 0.51), 3}, {Quantile(v, 1), 4}, {Quantile(nil, 0.5), 0},
		{Median(v), 2.5}, {Median(v[:3]), 3}, {Median(nil), 0}, {Mean(v), 2.5}, {Mean(nil), 0},
		{Spread([]float64{10, 11, 50, 9}, 3), 0.2}, {Spread([]float64{1, 2}, 3), 0}, {Spread([]float64{0, 0, 0}, 2), 0},
		{float64(Majority(5)), 3}, {float64(Majority(4)), 3},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if v[0] != 3 {
		t.Error("the values were sorted in place")
	}
}

func TestBadInputIsAnInputError(t *testing.T) {
	var input *InputError
	if err := fmt.Errorf("wrapped: %w", BadInput("want %d", 1)); !errors.As(err, &input) || input.Error() != "want 1" {
		t.Error(err)
	}
}
