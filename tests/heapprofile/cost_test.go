package heapprofile

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/inspect"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/slab"
)

// What the profile costs on slow paths, in instructions, which valgrind counts. Nothing
// that the machine does besides changes them much.

// flood has 64-byte objects all come from slabs and go back to them.
func flood(rate int) {
	inspect.SetHeapProfileRate(rate)
	a, err := page.New(page.Config{Reserve: 256 << 20})
	if err != nil {
		panic(err)
	}
	c, err := slab.NewCache[[8]uint64]("flood", slab.WithAllocator(a))
	if err != nil {
		panic(err)
	}
	ps := make([]*[8]uint64, 100000)
	for range 40 {
		for i := range ps {
			ps[i] = c.Alloc(gfp.Kernel)
		}
		for _, p := range ps {
			c.Free(p)
		}
		c.Shrink()
	}
}

// Slow paths take some 2 % more instructions with the profile on: 1.6 to 1.95, as the
// samples fall and as the runtime works besides.
func TestSlowPathsPayLittleForTheProfile(t *testing.T) {
	if rate, err := strconv.Atoi(testkit.Scenario()); err == nil {
		flood(rate)
		return
	}
	if !testkit.Long() {
		t.Skip("takes half a minute: in nightly runs")
	}
	if _, err := exec.LookPath("valgrind"); err != nil || runtime.GOARCH != "amd64" || slab.PoisonEnabled {
		t.Skip("needs valgrind, and a plain build on amd64")
	}
	bin := filepath.Join(t.TempDir(), "test") // with symbols, which the binary that go test runs lacks
	if text, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	off, on := instructions(t, bin, 0), instructions(t, bin, 512<<10)
	slow := off.all - off.fast
	cost := float64(on.profile-off.profile) / float64(slow)
	t.Logf("%.2f %% of %d instructions", 100*cost, slow)
	if cost > 0.025 || on.profile <= off.profile || slow < 1e8 {
		t.Errorf("off %+v, on %+v", off, on)
	}
}

// count is how many instructions a child took: in all, on fast paths and in flood, and
// in the profile with what it calls: the runtime's stacks, maps and random numbers.
type count struct{ all, fast, profile int64 }

func instructions(t *testing.T, bin string, rate int) (n count) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file="+out,
		bin, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), testkit.ChildEnv+"="+strconv.Itoa(rate), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=cpu.rdtscp=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	fn := ""
	for l := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(l, "fn="); ok {
			fn = strings.TrimSpace(name)
			continue
		}
		f := strings.Fields(l)
		if len(f) != 2 || l[0] < '0' || l[0] > '9' {
			continue
		}
		k, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n.all += k
		switch {
		case strings.Contains(fn, "heapprofile.flood"), strings.Contains(fn, "slab.leaf"):
			n.fast += k
		case isProfiles(fn):
			n.profile += k
		}
	}
	return n
}

func isProfiles(fn string) bool {
	for _, part := range []string{"runtime.", "runtime/", "internal/heapprof.", "slab.(*cache).note", "slab.(*cache).sample", "slab.mayNote", "math", "internal/chacha8rand"} {
		if strings.Contains(fn, part) {
			return true
		}
	}
	return false
}
