package harness

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is where the rows were measured.
type Machine struct {
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Go   string `json:"go"`
	Load string `json:"load"` // averages at the start
}

// ThisMachine returns what is known of the one that this runs on.
func ThisMachine() Machine {
	return Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Load: loadAverage()}
}

// cpuModel is the processor's name, where the system reports it.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown CPU"
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	if w := strings.Fields(string(text)); len(w) >= 3 {
		return strings.Join(w[:3], " ")
	}
	return "unknown"
}

// Status is a figure of /proc/self/status, in MB; 0 where there is none.
func Status(name string) (mb float64) {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			fmt.Sscan(rest, &mb)
		}
	}
	return mb / 1024
}

// MemAvailable is the memory in bytes that the system has to give; 0 where it
// does not tell.
func MemAvailable() float64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			var kb float64
			fmt.Sscan(rest, &kb)
			return kb * 1024
		}
	}
	return 0
}
