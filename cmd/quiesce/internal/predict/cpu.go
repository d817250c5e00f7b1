package predict

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"quiesce/internal/sys"
)

// usage is the time that this process's threads ran, and the time they were
// runnable without a processor, which is what a shared machine takes.
type usage struct{ wall, ran, waited float64 }

// use reads the usage; ok is false where the system does not report it.
func use() (u usage, ok bool) {
	u.wall = float64(sys.Nanotime())
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		words := strings.Fields(string(b))
		if err != nil || len(words) < 2 {
			continue // it ended just now
		}
		ran, _ := strconv.ParseFloat(words[0], 64)
		waited, _ := strconv.ParseFloat(words[1], 64)
		u.ran, u.waited = u.ran+ran, u.waited+waited
	}
	return u, u.ran > 0
}

func (u usage) since(o usage) usage {
	return usage{u.wall - o.wall, u.ran - o.ran, u.waited - o.waited}
}
