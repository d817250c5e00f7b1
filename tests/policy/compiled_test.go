package policy

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"quiesce/gfp"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// goTool runs the go command in the repository's root.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inlined are the functions whose cost is in a published figure. Their names are
// the compiler's.
var inlined = []struct{ pkg, fn string }{
	{"./preempt", "Disable"},
	{"./preempt", "Pinned.Enable"},
	{"./internal/pin", "Disable"},
	{"./internal/pin", "Section.Enable"},
	{"./internal/percpu", "Pin"},
	{"./internal/percpu", "Of"},
	{"./rcu", "ReadLock"},
	{"./rcu", "(*Guard).Unlock"},
	{"./rcu", "(*Reader).ReadLock"},
	{"./rcu", "(*Reader).Unlock"},
}

// The compiler's budget (cmd/compile: inlineMaxBudget).
const inlineBudget = 80

var inlineNote = regexp.MustCompile(`(?m)^[^:\n]+:\d+:\d+: (can|cannot) inline (\S+?)(?: with cost (\d+) as|: (.*)$)`)

func TestFastPathsAreInlined(t *testing.T) {
	notes := map[string]string{} // by package: replayed from the build cache
	for _, f := range inlined {
		if notes[f.pkg] == "" {
			notes[f.pkg] = goTool(t, "build", "-gcflags=-m=2", "-o", filepath.Join(t.TempDir(), "out"), f.pkg)
		}
		found := false
		for _, m := range inlineNote.FindAllStringSubmatch(notes[f.pkg], -1) {
			if m[2] != f.fn {
				continue
			}
			found = true
			if m[1] == "cannot" {
				t.Errorf("%s.%s is not inlined: %s", f.pkg, f.fn, m[4])
			} else if cost, _ := strconv.Atoi(m[3]); cost > inlineBudget {
				t.Errorf("%s.%s has cost %d, over %d", f.pkg, f.fn, cost, inlineBudget)
			} else {
				t.Logf("%s.%s: cost %d of %d", f.pkg, f.fn, cost, inlineBudget)
			}
		}
		if !found {
			t.Errorf("the compiler says nothing of %s.%s: renamed?", f.pkg, f.fn)
		}
	}
}

type fastPath struct {
	symbol string // regular expression over the whole symbol
	keep   any
	run    func() // once through the fast path; nil: allocation not tested
}

// fastPaths must not contain an atomic read-modify-write or a fence, nor
// allocate. The func values keep the functions in the test binary, out of
// line, where they are disassembled; a generic function needs an instance
// here and a pattern of its symbol. Outlined slow halves are not checked.
var fastPaths = []fastPath{
	{quoted + `rcu\.ReadLock`, rcu.ReadLock, func() { g := rcu.ReadLock(); g.Unlock() }},
	{quoted + `rcu\.\(\*Guard\)\.Unlock`, (*rcu.Guard).Unlock, nil},
	{quoted + `rcu\.readLock`, nil, nil},
	{quoted + `rcu\.\(\*Guard\)\.unlock`, nil, nil},
	{quoted + `rcu\.\(\*Reader\)\.ReadLock`, (*rcu.Reader).ReadLock, func() { registered.ReadLock(); registered.Unlock() }},
	{quoted + `rcu\.\(\*Reader\)\.Unlock`, (*rcu.Reader).Unlock, func() { g := registered.ReadLock(); g.Unlock() }},
	{quoted + `preempt\.Disable`, preempt.Disable, func() { p := preempt.Disable(); p.Enable() }},
	{quoted + `preempt\.Pinned\.Enable`, preempt.Pinned.Enable, nil},
	{quoted + `slab\.\(\*cache\)\.alloc`, nil, func() { objects.Free(objects.Alloc(gfp.NoWait)) }},
	{quoted + `slab\.\(\*cache\)\.free`, nil, nil},
	{quoted + `slab\.\(\*cache\)\.freeRCU`, nil, func() { objects.FreeRCU(objects.Alloc(gfp.Kernel)) }},
	{quoted + `slab\.\(\*owned\)\.alloc`, nil, func() { stock.Free(stock.Alloc(gfp.NoWait)) }},
	{quoted + `slab\.\(\*owned\)\.free`, nil, nil},
	{quoted + `slab\.\(\*owned\)\.freeRCU`, nil, func() { stock.FreeRCU(stock.Alloc(gfp.Kernel)) }},
}

var registered = rcu.NewReader()

// objects is a cache whose operations are in the binary.
var objects = func() *slab.Cache[[8]uint64] {
	c, err := slab.NewCache[[8]uint64]("policy")
	if err != nil {
		panic(err)
	}
	return c
}()

// stock is a Sheaf of it.
var stock = func() *slab.Sheaf[[8]uint64] {
	s, err := objects.Sheaf(100, gfp.Kernel)
	if err != nil {
		panic(err)
	}
	return s
}()

// What is atomic, by the disassembler's words. On amd64 every locked
// instruction has the LOCK prefix but XCHG with memory, which locks by itself.
// A plain acquire load (LDAR) on arm64 is none.
var atomicInstructions = map[string]*regexp.Regexp{
	"amd64": regexp.MustCompile(`\b(LOCK|XCHG[BWLQ]? .*\(|MFENCE)`),
	"arm64": regexp.MustCompile(`\b(LDADD|LDCLR|LDEOR|LDOR|SWP|CAS|STLR|STLXR|LDAXR|LDXR|STXR|DMB|DSB)`),
}

// testBinary builds this package's test binary: go test strips the one that
// runs.
func testBinary(t *testing.T, flags ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "policy.test")
	goTool(t, append(append([]string{"test", "-c", "-o", bin}, flags...), "./tests/policy")...)
	return bin
}

// disassemble returns the instructions of each function of a binary that
// matches, by symbol.
func disassemble(t *testing.T, bin, pattern string) map[string][]string {
	t.Helper()
	functions := map[string][]string{}
	symbol := ""
	for line := range strings.Lines(goTool(t, "tool", "objdump", "-s", pattern, bin)) {
		if s, ok := strings.CutPrefix(line, "TEXT "); ok {
			symbol, _, _ = strings.Cut(s, "(SB)")
			functions[symbol] = nil
		} else if fields := strings.SplitN(strings.TrimSpace(line), "\t", 4); len(fields) > 1 {
			functions[symbol] = append(functions[symbol], strings.TrimSpace(line))
		}
	}
	return functions
}

// plain is the test binary as it is built without flags: the instructions of
// the module's functions, and all variables.
var plain struct {
	sync.Once
	functions map[string][]string
	variables []symbol
}

func readPlain(t *testing.T) {
	t.Helper()
	plain.Do(func() {
		bin := testBinary(t)
		plain.functions = disassemble(t, bin, "^"+quoted)
		plain.variables = variables(t, bin)
	})
	if plain.variables == nil {
		t.Fatal("the binary could not be read: see the first test that failed")
	}
}

// functions returns the functions of the test binary that match, as disassemble
// does.
func functions(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	readPlain(t)
	re, found := regexp.MustCompile(pattern), map[string][]string{}
	for symbol, code := range plain.functions {
		if re.MatchString(symbol) {
			found[symbol] = code
		}
	}
	return found
}

// fastSymbols matches the fast paths.
func fastSymbols() string {
	var patterns []string
	for _, f := range fastPaths {
		patterns = append(patterns, f.symbol)
	}
	return "^(" + strings.Join(patterns, "|") + ")$"
}

func TestFastPathsHaveNoAtomics(t *testing.T) {
	atomics := atomicInstructions[runtime.GOARCH]
	if atomics == nil {
		t.Skipf("no table of atomic instructions for %s", runtime.GOARCH)
	}
	functions := functions(t, fastSymbols())
	for _, f := range fastPaths {
		whole := regexp.MustCompile("^(?:" + f.symbol + ")$")
		found := false
		for symbol, code := range functions {
			if !whole.MatchString(symbol) || len(code) == 0 {
				continue
			}
			found = true
			for _, instruction := range code {
				if atomics.MatchString(instruction) {
					t.Errorf("%s: %s", symbol, instruction)
				}
			}
		}
		if !found {
			t.Errorf("no function %s in the binary: renamed?", f.symbol)
		}
		runtime.KeepAlive(f.keep)
	}
}

// withAtomics takes a cookie by a read-modify-write.
var withAtomics any = rcu.StartPoll

// The check above can fail: a function with atomics is caught.
func TestAtomicsAreSeenWhereTheyAre(t *testing.T) {
	atomics := atomicInstructions[runtime.GOARCH]
	if atomics == nil {
		t.Skipf("no table of atomic instructions for %s", runtime.GOARCH)
	}
	symbol := module + `rcu.StartPoll`
	found := false
	for _, code := range functions(t, "^"+regexp.QuoteMeta(symbol)+"$") {
		for _, instruction := range code {
			found = found || atomics.MatchString(instruction)
		}
	}
	if !found {
		t.Errorf("%s is an atomic read-modify-write and none was found", symbol)
	}
	runtime.KeepAlive(withAtomics)
}

// The flags of an allocation cost the fast path nothing: up to the pin, which
// clobbers every register, the fast path neither reads them nor keeps them on the stack.
func TestTheAllocationFastPathNeverReadsTheFlags(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("the registers are amd64's, this is %s", runtime.GOARCH)
	}
	symbol := module + "slab.(*cache).alloc"
	code := functions(t, "^"+regexp.QuoteMeta(symbol)+"$")[symbol]
	// Arguments: the cache in AX, what round 0 got in BX, the flags in CX, the
	// round in DI. A jump taken for round 1 leads past the pin.
	flags := regexp.MustCompile(`\b(CX|CL)\b`)
	for _, instruction := range code {
		if strings.Contains(instruction, "runtime.procPin") {
			return
		}
		if flags.MatchString(instruction) {
			t.Errorf("the flags are used before the pin: %s", instruction)
		}
	}
	t.Fatalf("no pin in %s; check the code again:\n%s", symbol, strings.Join(code, "\n"))
}

func TestFastPathsDoNotAllocate(t *testing.T) {
	for _, f := range fastPaths {
		if f.run == nil {
			continue
		}
		if n := testing.AllocsPerRun(1000, f.run); n != 0 {
			t.Errorf("%s allocates %v times", f.symbol, n)
		}
	}
}
