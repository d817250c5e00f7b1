//go:build linux

package process

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quiesce/internal/testkit"
	"quiesce/rcu"
	"quiesce/slab"
)

func init() { scenarios["restricted"] = restricted }

// restrictions are what a service, or its host, does to a process that runs.
var restrictions = map[string]func(){
	"membarrier: EPERM":  func() { deny(unix.SYS_MEMBARRIER, unix.EPERM) },
	"membarrier: ENOSYS": func() { deny(unix.SYS_MEMBARRIER, unix.ENOSYS) },
	"madvise: EPERM":     func() { deny(unix.SYS_MADVISE, unix.EPERM) },
	"all memory locked": func() {
		before := used("VmRSS")
		must(unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE))
		more := makeCaches(50)
		// The data of the test binary and the Go heap are tens of megabytes.
		if rss := used("VmRSS"); rss > before+200<<20 {
			fatal(fmt.Errorf("locked: %d MB resident, %d before", rss>>20, before>>20))
		}
		closeAll(more)
	},
	"few threads": func() {
		// Root may have as many as it likes, so be somebody else.
		threads := uint64(len(threadsNow()))
		must(unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: threads + 8, Max: threads + 8}))
		must(unix.Setgid(65534))
		must(unix.Setuid(61234))
		closeAll(makeCaches(300))
	},
}

// restricted runs a world, restricts it in the middle, and ends it properly.
func restricted() {
	w := newWorld()
	w.start()
	for w.writes.Load() < 1000 {
		time.Sleep(time.Millisecond)
	}
	restrictions[os.Getenv("HOW")]()
	before := w.writes.Load()
	gps := rcu.ReadStats().GracePeriods
	for begin := time.Now(); w.writes.Load() < before+1000 || rcu.ReadStats().GracePeriods < gps+20; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			fatal(fmt.Errorf("%d writes, %d grace periods in 20 s", w.writes.Load()-before, rcu.ReadStats().GracePeriods-gps))
		}
	}
	fmt.Println("continues")
	w.end()
}

func makeCaches(n int) (all []*slab.Cache[record]) {
	for i := range n {
		c, err := slab.NewCache[record](fmt.Sprint("more", i))
		must(err)
		p := c.Alloc(0)
		if p != nil {
			c.FreeRCU(p)
		}
		all = append(all, c)
	}
	return all
}

func closeAll(all []*slab.Cache[record]) {
	for _, c := range all {
		must(c.Close())
	}
}

func threadsNow() []os.DirEntry {
	list, err := os.ReadDir("/proc/self/task")
	must(err)
	return list
}

func TestRestrictedAtRunTimeItContinues(t *testing.T) {
	if testkit.Emulated() {
		t.Skip("the emulator makes the system calls")
	}
	for how := range restrictions {
		t.Run(how, func(t *testing.T) {
			if how == "all memory locked" && raceEnabled {
				t.Skip("the race detector's shadow would be locked as well")
			}
			if (how == "few threads" || how == "all memory locked") && os.Getuid() != 0 {
				t.Skip("needs root")
			}
			c := begin(t, "restricted", "HOW="+how)
			for {
				l := c.expect("")
				t.Log(l)
				if l == "accounted" || strings.HasPrefix(l, "bad") {
					break
				}
			}
			succeeds(t, c)
			if text := c.stderr.String(); text != "" {
				t.Log(text)
			}
		})
	}
}
