package page

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// The default allocator has the limit of the control group that the process is in
// when it first needs memory.
func TestDefaultTakesItsLimitFromAControlGroup(t *testing.T) {
	if testkit.Scenario() != "" {
		if err := os.WriteFile(testkit.Scenario(), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			fmt.Println("not permitted:", err)
			return
		}
		Default().Free(Default().Alloc(0, gfp.Kernel), 0)
		fmt.Println("limit", Default().Stats().Limit)
		return
	}
	const memory = 256 << 20
	dir := controlGroup(t, memory)
	out, _ := testkit.OfTest(t, filepath.Join(dir, "cgroup.procs"), "QUIESCE=", "GOMEMLIMIT=off").Output()
	switch {
	case strings.Contains(out, "not permitted"):
		t.Skipf("no process can be moved into a control group: %.300s", out)
	case !strings.Contains(out, fmt.Sprint("limit ", memory/4*3)):
		t.Errorf("want %d in a control group of %d bytes: %.500s", memory/4*3, memory, out)
	}
}

// controlGroup makes a control group with so much memory, of version 2 or 1, or skips
// the test.
func controlGroup(t *testing.T, memory int) (dir string) {
	var why []string
	for _, v := range [][2]string{{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}} {
		dir := filepath.Join(v[0], fmt.Sprint("quiesce-test-", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			why = append(why, err.Error())
			continue
		}
		t.Cleanup(func() { // once its process has left it
			for range 100 {
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		f, err := os.OpenFile(filepath.Join(dir, v[1]), os.O_WRONLY, 0) // never made: a plain directory is no group
		if err == nil {
			_, err = f.WriteString(strconv.Itoa(memory))
			f.Close()
		}
		if err == nil {
			return dir
		}
		why = append(why, err.Error())
	}
	t.Skipf("no control group can be made: %s", strings.Join(why, "; "))
	return ""
}
