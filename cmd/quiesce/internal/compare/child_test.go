package compare

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// What ends the process, or turns lockdep on, runs in a child: this test binary
// again.
func TestMain(m *testing.M) {
	if _, ok := kit.ChildJob(os.Args[1:]); ok {
		os.Exit(Child(os.Stdin, os.Stdout))
	}
	what, name, ok := strings.Cut(testkit.Scenario(), " ")
	if !ok {
		os.Exit(m.Run())
	}
	in, err := New(name, Config{Depot: 1 << 30})
	if err != nil {
		panic(err)
	}
	if what == "contend" {
		contended(in)
	} else {
		reports(in)
	}
	os.Exit(0)
}

func child(what, name, options string) (string, error) {
	return testkit.Child{Scenario: what + " " + name, Env: []string{"QUIESCE=" + options, "GOMAXPROCS=4"}}.Output()
}

// contended frees from a raw context while another goroutine holds the lock
// that an allocation may meet, for 50 ms.
func contended(in *Instance) {
	objs := make([]*Object, 3000)
	for i := range objs {
		objs[i] = in.Alloc()
	}
	in.freeContended(objs, 4096, 50e6)
	in.Barrier()
	fmt.Println("survived", in.Counts().Reclaimed, in.Close())
}

func TestOnlyArrayDiesWhereTheLockIsContended(t *testing.T) {
	if lockdep.Tagged {
		t.Skip("a build that checks reports it, and spins")
	}
	for _, s := range Strategies {
		for _, rt := range []string{"preempt_rt=0", "preempt_rt=1"} {
			out, err := child("contend", s.Name, rt)
			if s.Name == "array" && rt == "preempt_rt=1" {
				if err == nil || !strings.Contains(out, "schedule: holding locks") {
					t.Errorf("array with %s: %v, want its death\n%.1000s", rt, err, out)
				}
			} else if err != nil || !strings.Contains(out, "survived 3000 <nil>") {
				t.Errorf("%s with %s: %v\n%.1500s", s.Name, rt, err, out)
			}
		}
	}
}

// reports frees in every raw context, lists empty, with lockdep on, and prints
// the kinds of its reports.
func reports(in *Instance) {
	lockdep.Enable()
	kinds := map[string]string{}
	lockdep.SetReporter(func(r *lockdep.Report) { kinds[r.Kind] = r.Text })
	objs := make([]*Object, 6000)
	for i := range objs {
		objs[i] = in.Alloc()
	}
	squeezed := in.Squeeze(4096)
	freeAll(in.newCaller(Raw), objs, func(bool) { squeezed.Take() })
	squeezed.Release()
	in.Barrier()
	time.Sleep(50 * time.Millisecond) // pinned reporters
	fmt.Println("reports", len(kinds), "back", in.Counts().Reclaimed, "rt", preempt.RT(), in.Close())
	for _, text := range kinds {
		fmt.Println(text)
	}
}

func TestOnlyArrayIsReportedByLockdep(t *testing.T) {
	for _, s := range Strategies {
		for _, rt := range []string{"preempt_rt=0", "preempt_rt=1"} {
			out, err := child("reports", s.Name, rt)
			want := "reports 0 back 6000"
			if s.Name == "array" {
				want = "Invalid wait context"
			}
			if err != nil || !strings.Contains(out, want) || s.Name == "array" && !strings.Contains(out, "page.zone") {
				t.Errorf("%s with %s: %v, want %q\n%.2500s", s.Name, rt, err, want, out)
			}
		}
	}
}
