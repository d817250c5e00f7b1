// Package memlimit finds out how much memory the process may use: the limits of
// its control groups, of version 1 or 2, and the memory of the machine. It reads
// files and remembers nothing. On systems without them it finds nothing.
package memlimit

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Read returns the smallest limit in bytes that holds for the process, or 0 if
// there is none to be found. root is the root of the file system.
func Read(root fs.FS) int64 {
	least := machine(root)
	for _, g := range groups(root) {
		// Limits hold for all below: the process's own may be the largest.
		for dir := g.dir; ; dir = path.Dir(dir) {
			for _, name := range g.files {
				least = smaller(least, value(root, path.Join(dir, name)))
			}
			if dir == g.mount || dir == "." {
				break
			}
		}
	}
	return least
}

// smaller returns the smaller of two limits, of which 0 is none.
func smaller(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// machine returns the memory of the machine.
func machine(root fs.FS) int64 {
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// group is the process's control group in a hierarchy that limits memory.
type group struct {
	mount, dir string   // dir is mount or below
	files      []string // that have limits
}

// groups finds them by /proc/self/cgroup, which has the path of the group in
// its hierarchy, and /proc/self/mountinfo, which has where that is mounted, and
// which part of it.
func groups(root fs.FS) (all []group) {
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	paths := map[string]string{} // by controller; "" is version 2
	for line := range lines(text) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 { // number:controllers:path
			for c := range strings.SplitSeq(f[1], ",") {
				paths[c] = f[2]
			}
		}
	}
	text, _ = fs.ReadFile(root, "proc/self/mountinfo")
	for line := range lines(text) {
		// 36 35 0:31 /part /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup rw,…
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 3 {
			continue
		}
		g := group{mount: strings.TrimPrefix(path.Clean(l[4]), "/")}
		var own string
		var in bool
		switch {
		case r[0] == "cgroup2":
			own, in = paths[""]
			g.files = []string{"memory.max", "memory.high"}
		case r[0] == "cgroup" && strings.Contains(","+r[2]+",", ",memory,"):
			own, in = paths["memory"]
			g.files = []string{"memory.limit_in_bytes"}
		}
		if !in {
			continue
		}
		// A container sees a part of the hierarchy, and its path from the
		// host's root or from that part. Where that leads nowhere, the mount is
		// what the container was given.
		own = "/" + strings.TrimPrefix(strings.TrimPrefix(own, "/"), strings.TrimPrefix(l[3], "/"))
		g.dir = path.Join(g.mount, path.Clean(own))
		if _, err := fs.Stat(root, g.dir); err != nil {
			g.dir = g.mount
		}
		all = append(all, g)
	}
	return all
}

// value reads a limit; "max", what can't be read, and the largest numbers, which
// version 1 has for none, are 0.
func value(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n <= 0 || n > 1<<60 {
		return 0
	}
	return n
}

// lines yields the lines of a text.
func lines(text []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
			if !yield(s.Text()) {
				return
			}
		}
	}
}
