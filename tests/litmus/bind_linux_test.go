package litmus

import "golang.org/x/sys/unix"

func init() {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return
	}
	var cpus []int
	for cpu := 0; len(cpus) < allowed.Count(); cpu++ {
		if allowed.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	bind = func(id int) {
		var one unix.CPUSet
		one.Set(cpus[id%len(cpus)])
		unix.SchedSetaffinity(0, &one) // without it the test is weaker, not wrong
	}
}
