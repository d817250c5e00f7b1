// Package option reads the environment variable QUIESCE, a comma-separated
// list of name=value, once at program start, and has the table of all options.
//
// A name that is not in the table, or a value of another form, ends the
// program before main with one line and exit status 2: an option that is
// ignored in silence, such as a limit with a slip in its name, is worse. An
// option of a build that this is not (guard in a plain build) is accepted and
// has no effect. The first of a name counts.
//
// The package imports nothing of this module, and so its variables are
// initialised before those of every package that asks for an option.
package option

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Env is the name of the environment variable.
const Env = "QUIESCE"

// Option is a row of the table.
type Option struct {
	Name    string
	Form    string // of the value
	Default string
	Meaning string
	Builds  string // those that heed it, and the package that does

	check func(value string) error
}

// Table has every option, in the order of docs/guide/options.md, which a test
// checks against it.
var Table = []Option{
	{"preempt_rt", "0 or 1", "1", "1: spin locks sleep, as in the kernel's PREEMPT_RT. 0: they spin, pinned.", "all: `preempt`", isBool},
	{"membarrier", "0 or 1", "1", "0: do not use the system call membarrier; grace periods stop the world.", "all: `internal/sys`", isBool},
	{"limit", "bytes, or auto", Auto, "Limit of the default page allocator, in populated bytes; 0: none. auto: 3/4 of the memory of the control group or the machine, less GOMEMLIMIT.", "all: `page`", isLimit},
	{"coredump", "0 or 1", "1", "0: keep pages, their metadata and per-P slots out of core dumps (Linux).", "all: `internal/sys`", isBool},
	{"failslab", faultForm, "0", "How often an allocation fails beyond this P's main sheaf.", "all: `slab`", isFault},
	{"fail_page_alloc", faultForm, "0", "How often a page allocation fails.", "all: `page`", isFault},
	{"lockdep", "0 or 1", "0; 1 with `-tags lockdep`", "1: check every acquisition, context and wait at run time.", "all: `lockdep`", isBool},
	{"prove_raw_lock_nesting", "0 or 1", "1", "0: a `lock.Spin` under a `lock.Raw` is no error, as where spin locks spin.", "all, with lockdep on: `lockdep`", isBool},
	{"panic_on_report", "0 or 1", "0; in a test binary see what it does", "1: the first report that no reporter takes panics. 0: it does not. Neither, in a test binary: it ends the run, with status 1.", "all, with lockdep on: `lockdep`; `-tags poison`, `-asan`: `slab`", isBool},
	{"guard", "count", "1000", "One allocation in so many gets a page of its own that faults after the free; 1: all, 0: none.", "`-tags poison`: `slab`", isCount},
	{"guards", "count", "0", "One allocation in so many of those that leave their fast path gets a page of its own that faults after the free; 0: none.", "all but `-race`, `-asan` and `-tags poison`: `slab`", isCount},
	{"report_faults", "0 or 1", "0", "1: with `guards`, an access that faults at such a page is reported with the stacks of allocation and free (Linux).", "all but `-race`, `-asan` and `-tags poison`: `slab`", isBool},
	{"quarantine", "bytes", "1M", "Bytes of freed objects that each cache keeps from reuse; 0: none.", "`-tags poison`, `-asan`: `slab`", isBytes},
	{"delay", delayForm, "5:50us", "How many in 1000 tagged operations are delayed, and for how long at most.", "`-tags delay`: all", isDelay},
}

// Auto is the value of limit that leaves it to package page.
const Auto = "auto"

const (
	faultForm = "percent[:interval[:times[:space]]]"
	delayForm = "permille[:duration]"
)

// values is what QUIESCE says. Immutable.
var values = start()

func start() map[string]string {
	v, err := Parse(os.Getenv(Env))
	if err != nil {
		die(err)
	}
	return v
}

// Parse reads a list of options and checks it against the table.
func Parse(list string) (map[string]string, error) {
	values := map[string]string{}
	for _, kv := range strings.Split(list, ",") {
		if kv = strings.TrimSpace(kv); kv == "" {
			continue
		}
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, bad(kv, "want name=value")
		}
		o := find(name)
		if o == nil {
			return nil, bad(kv, "unknown option")
		}
		if err := o.check(value); err != nil {
			return nil, bad(kv, err.Error())
		}
		if _, ok := values[name]; !ok {
			values[name] = value
		}
	}
	return values, nil
}

// bad is the error for an element of the list.
func bad(element, why string) error {
	names := make([]string, len(Table))
	for i, o := range Table {
		names[i] = o.Name
	}
	return fmt.Errorf("quiesce: bad option %s=%s: %s; the options are %s", Env, element, why, strings.Join(names, ", "))
}

// Reject ends the program because of the value of an option of the right form
// that cannot be obeyed. It must be called before main.
func Reject(name, why string) {
	v, _ := Text(name)
	die(bad(name+"="+v, why))
}

func die(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func find(name string) *Option {
	for i := range Table {
		if Table[i].Name == name {
			return &Table[i]
		}
	}
	return nil
}

// Text returns the value as it is written, and whether QUIESCE has the option.
func Text(name string) (value string, ok bool) {
	if find(name) == nil {
		panic("quiesce/option: no option " + name)
	}
	value, ok = values[name]
	return value, ok
}

// get returns the value or the table's default.
func get(name string) string {
	if v, ok := Text(name); ok {
		return v
	}
	return find(name).Default
}

// Bool returns the value of an option that is 0 or 1.
func Bool(name string) bool { return get(name) == "1" }

// Count returns the value of an option that is a number from 0 on.
func Count(name string) int64 {
	n, _ := parseCount(get(name))
	return n
}

// Bytes returns the value of an option that is a number of bytes; 0 for Auto.
func Bytes(name string) int64 {
	n, _ := ParseBytes(get(name))
	return n
}

// FaultAttr returns the value of an option of fault injection.
func FaultAttr(name string) Fault {
	f, _ := ParseFault(get(name))
	return f
}

// Delay returns the value of an option permille[:duration].
func Delay(name string) (permille int, most time.Duration) {
	permille, most, _ = parseDelay(get(name))
	return permille, most
}

func isBool(v string) error {
	if v != "0" && v != "1" {
		return errors.New("want 0 or 1")
	}
	return nil
}

func isCount(v string) error { _, err := parseCount(v); return err }
func isBytes(v string) error { _, err := ParseBytes(v); return err }
func isLimit(v string) error {
	if v == Auto {
		return nil
	}
	return isBytes(v)
}
func isFault(v string) error { _, err := ParseFault(v); return err }
func isDelay(v string) error { _, _, err := parseDelay(v); return err }

func parseCount(v string) (int64, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New("want a number")
	}
	return n, nil
}

// ParseBytes reads a number of bytes, with K, M or G for powers of 1024.
func ParseBytes(v string) (int64, error) {
	digits := strings.TrimRight(v, "kKmMgG")
	shift, known := map[string]int{"": 0, "K": 10, "M": 20, "G": 30}[strings.ToUpper(v[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > (1<<63-1)>>shift {
		return 0, errors.New("want a number of bytes, with an optional K, M or G")
	}
	return n << shift, nil
}

// Fault says how often a point of fault injection fails: the kernel's
// fault_attr. Package fault explains the fields.
type Fault struct {
	Probability float64 // percent, 0 to 100
	Interval    int64   // only every Interval-th allocation can fail; 0 is 1
	Times       int64   // so many failures at most; 0 and below: any number
	Space       int64   // bytes that are served before the first failure
}

// ParseFault reads percent[:interval[:times[:space]]].
func ParseFault(s string) (f Fault, err error) {
	bad := errors.New("want " + faultForm)
	parts := strings.Split(s, ":")
	if len(parts) > 4 {
		return Fault{}, bad
	}
	f.Probability, err = strconv.ParseFloat(parts[0], 64)
	if err != nil || !(f.Probability >= 0 && f.Probability <= 100) {
		return Fault{}, bad
	}
	for i, field := range []*int64{&f.Interval, &f.Times, &f.Space} {
		if i+1 >= len(parts) {
			break
		}
		if *field, err = strconv.ParseInt(parts[i+1], 10, 64); err != nil {
			return Fault{}, bad
		}
	}
	if f.Interval < 0 || f.Space < 0 {
		return Fault{}, bad
	}
	return f, nil
}

func parseDelay(v string) (permille int, most time.Duration, err error) {
	a, b, both := strings.Cut(v, ":")
	permille, err = strconv.Atoi(a)
	most = 50 * time.Microsecond
	var err2 error
	if both {
		most, err2 = time.ParseDuration(b)
	}
	if err != nil || err2 != nil || permille < 0 || permille > 1000 || most < 0 {
		return 0, 0, errors.New("want " + delayForm)
	}
	return permille, most, nil
}
