package metamorphic

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// options of one run, by name; what is not there has its default.
type options map[string]string

// choices has every option with the values that are drawn.
var choices = []struct {
	name    string
	process bool // read by the library at start
	values  []string
}{
	{"preempt_rt", true, []string{"0"}},
	{"membarrier", true, []string{"0"}},
	{"failslab", true, []string{"1", "10", "60"}},
	{"fail_page_alloc", true, []string{"1", "10", "60"}},
	{"sheaf", false, []string{"1", "2", "7", "64", "510"}},
	{"depot", false, []string{"0", "4096", "100000"}},
	{"limit", false, []string{"1"}},
	{"balloon", false, []string{"0", "200000", "1000000"}}, // bytes that it leaves; has a limit
	{"resize", false, []string{"1"}},                       // maps grow with every insertion, shrink with every deletion
	{"procs", false, []string{"1", "2", "4"}},              // else as the program says
}

// draw makes options of about three names.
func draw(r *rand.Rand) options {
	o := options{}
	for _, c := range choices {
		if r.IntN(3) == 0 {
			o[c.name] = c.values[r.IntN(len(c.values))]
		}
	}
	return o
}

func (o options) int(name string, otherwise int) int {
	if v, ok := o[name]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			panic("option " + name + " is no number: " + v)
		}
		return n
	}
	return otherwise
}

// names are sorted.
func (o options) names() (s []string) {
	for n := range o {
		s = append(s, n)
	}
	slices.Sort(s)
	return s
}

func (o options) String() string {
	var s []string
	for _, n := range o.names() {
		s = append(s, n+"="+o[n])
	}
	return strings.Join(s, ",")
}

func parseOptions(s string) options {
	o := options{}
	for _, kv := range strings.Split(s, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			o[k] = v
		}
	}
	return o
}

// environ is the environment of a run.
func (o options) environ() []string {
	// Programs are drawn at random and break lockdep's rules, such as that of a
	// Put that may wait in a section: results are what counts.
	process := []string{"panic_on_report=0"}
	for _, c := range choices {
		if v, ok := o[c.name]; ok && c.process {
			process = append(process, c.name+"="+v)
		}
	}
	env := []string{
		"QUIESCE=" + strings.Join(process, ","), "METAMORPHIC_OPTIONS=" + o.String(),
		"GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE"), // else a run takes a second more
	}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "QUIESCE=") && !strings.HasPrefix(kv, "GOMAXPROCS=") && !strings.HasPrefix(kv, "GORACE=") {
			env = append(env, kv)
		}
	}
	return env
}
