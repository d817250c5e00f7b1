package policy

import (
	"strings"
	"testing"
)

// floors is the house from the ground up. A package may import what stands
// behind it here, what that may import in turn, and nothing else of this
// module; "all below" is every package of a lower floor. Test-only imports are
// free. A package that is not in the table has no place in the house yet.
var floors = []struct {
	floor      int
	pkg        string
	mayImport  string
	thirdParty string // prefix of the modules allowed besides the standard library
}{
	{0, "gfp", "", ""},
	{0, "internal/sys", "", "golang.org/x/sys/"},
	{0, "internal/race", "", ""},
	{0, "internal/policy", "", ""},  // tests only
	{0, "internal/tape", "", ""},    // tests only
	{0, "internal/process", "", ""}, // tests only
	{1, "internal/fault", "internal/sys", ""},
	{1, "internal/percpu", "internal/sys internal/fault internal/race", ""},
	{1, "lockdep", "internal/sys internal/percpu internal/race", ""},
	{1, "lockdep/lockdeptest", "lockdep", ""},
	{2, "preempt", "internal/percpu lockdep", ""},
	{2, "lock", "preempt lockdep", ""},
	{3, "rcu", "lock preempt internal/percpu", ""},
	{3, "srcu", "rcu lock preempt internal/percpu", ""}, // beside rcu, on the same core
	{3, "page", "lock internal/percpu gfp", ""},
	{4, "slab", "page rcu", ""},
	{5, "rcuhash", "slab rcu", ""},
	{5, "rculist", "slab rcu", ""},
	{5, "inspect", "all below", ""},
	{6, "internal/lab", "all below", ""},
	{6, "internal/torture", "all below", ""},
	{6, "internal/scale", "internal/lab", ""}, // beside it: runs its strategies
	{6, "internal/scaling", "all below", ""},
	{6, "internal/demo", "all below", ""},
	{6, "internal/selftest", "all below", ""},
	{6, "internal/litmus", "rcu preempt lock internal/percpu internal/sys", ""},
	{7, "internal/mutants", "", ""}, // its mutants are text: it runs the go command
	{7, "cmd/quiesce", "all below", "*"},
	{7, "bench/peers", "all below", "*"},
}

const module = "quiesce/"

// reachable expands the table: what each package may import, and why.
func reachable() map[string]map[string]bool {
	may := map[string]map[string]bool{}
	for _, f := range floors { // lower rows are complete when an upper one needs them
		set := map[string]bool{}
		for _, other := range floors {
			if f.mayImport == "all below" && other.floor < f.floor {
				set[other.pkg] = true
			}
		}
		if f.mayImport != "all below" {
			for _, p := range strings.Fields(f.mayImport) {
				set[p] = true
				for q := range may[p] {
					set[q] = true
				}
			}
		}
		may[f.pkg] = set
	}
	return may
}

func TestImportsRunDownwardOnly(t *testing.T) {
	may := reachable()
	thirdParty := map[string]string{}
	for _, f := range floors {
		thirdParty[f.pkg] = f.thirdParty
	}
	unknown := map[string]bool{}
	for _, f := range sources(t) {
		allowed, known := may[f.pkg]
		if !known {
			if !f.nested && !unknown[f.pkg] {
				t.Errorf("package %s is not in the import table: give it a floor, in DESIGN and here", f.pkg)
			}
			unknown[f.pkg] = true
			continue
		}
		if f.test {
			continue
		}
		for _, i := range f.imports {
			first, _, _ := strings.Cut(i, "/")
			switch local := strings.TrimPrefix(i, module); {
			case local != i:
				if !allowed[local] {
					t.Errorf("%s imports %s; %s may import %v", f.path, i, f.pkg, sorted(allowed))
				}
			case i == "C":
				t.Errorf("%s uses cgo", f.path)
			case strings.Contains(first, "."):
				if p := thirdParty[f.pkg]; p != "*" && (p == "" || !strings.HasPrefix(i, p)) {
					t.Errorf("%s imports %s", f.path, i)
				}
			}
		}
	}
}

// The table itself: rows stand in the order of their floors, and name only
// packages of their own floor or below.
func TestImportTableIsAHouse(t *testing.T) {
	floor := map[string]int{}
	last := 0
	for _, f := range floors {
		if f.floor < last {
			t.Errorf("%s stands behind a higher floor", f.pkg)
		}
		last = f.floor
		if f.mayImport != "all below" {
			for _, p := range strings.Fields(f.mayImport) {
				if at, ok := floor[p]; !ok || at > f.floor {
					t.Errorf("%s names %s, which is not below it", f.pkg, p)
				}
			}
		}
		floor[f.pkg] = f.floor
	}
}
