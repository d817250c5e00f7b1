package torture

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bits of extendables: what a reader's section may be made of. Where the
// kernel's flavour has a counterpart here its bit is the kernel's.
const (
	extBH      = 1 << iota // inside preempt.Softirq
	extIRQ                 // preempt.DisableIRQ
	extPreempt             // preempt.Disable
	extRaw                 // a lock.Raw held (the kernel's RBH)
	extHardirq             // inside preempt.Hardirq (the kernel's SCHED)
	extRCU                 // rcu.ReadLock
	extHand                // the guard is unlocked by another goroutine
	extReader              // rcu.Reader.ReadLock

	extAll = 1<<iota - 1
)

// params are a scenario's parameters, see the table below for what they mean.
type params struct {
	tortureType                        string
	nrCPUs, nreaders, nfakewriters     int
	gpNormal, gpExp, gpCond, gpCondExp bool
	gpPoll, gpSync, gpFree             bool
	extendables                        int
	irqreader, sleepers                bool
	longDelay                          float64 // ms
	readExitDelay                      float64
	readExitBurst                      int
	nBarrierCbs                        int
	fwdProgress                        bool
	fwdProgressDiv                     int
	fwdProgressHoldoff                 float64
	stallCPU, stallHoldoff, stallTime  float64
	stallIRQsOff, stallBlock           bool
	onoffInterval, onoffHoldoff        float64
	shuffleInterval, stutter           float64
	statInterval, watchdog             float64
	kfreeThreads, kfreeNum, kfreeLimit int
	ownerThreads, ownerSheaves         int
	mapThreads, mapReaders             int
	mapKeys, mapStay, mapLimit, mapOps int
	failslab, failPage, delayPermille  float64
	preemptRT, membarrier              bool
	plantUAF, plantHang, plantLost     bool
	extendFlavours                     bool
}

// param is one parameter's row in the table.
type param struct {
	name  string
	field any // *int, *bool, *float64 or *string
	least float64
	most  float64
	help  string
}

// table ties the names to the fields. The first value is set by defaults.
func (p *params) table() []param {
	return []param{
		{"torture_type", &p.tortureType, 0, 0, "rcu; batch: callbacks through an rcu.Batch; busted: grace periods that wait for no reader"},
		{"nr_cpus", &p.nrCPUs, 0, 1024, "GOMAXPROCS; 0: as the process has it, at least 2"},
		{"nreaders", &p.nreaders, -1, 4096, "readers; -1: one less than GOMAXPROCS, at least 2"},
		{"nfakewriters", &p.nfakewriters, 0, 4096, "threads that only ask for grace periods"},
		{"gp_normal", &p.gpNormal, 0, 1, "the writer frees by rcu.Call; with no gp_ parameter it takes turns with all"},
		{"gp_exp", &p.gpExp, 0, 1, "it waits by SynchronizeExpedited"},
		{"gp_cond", &p.gpCond, 0, 1, "it waits by GetState and CondSynchronize"},
		{"gp_cond_exp", &p.gpCondExp, 0, 1, "it waits by GetState and CondSynchronizeExpedited"},
		{"gp_poll", &p.gpPoll, 0, 1, "it waits by StartPoll and Poll"},
		{"gp_sync", &p.gpSync, 0, 1, "it waits by Synchronize"},
		{"gp_free", &p.gpFree, 0, 1, "it frees by FreeRCU, without an age"},
		{"extendables", &p.extendables, 1, extAll, "what sections are made of: 1 Softirq, 2 interrupts off, 4 preemption off, 8 lock.Raw, 16 Hardirq, 32 ReadLock, 64 guard handed over, 128 rcu.Reader"},
		{"extend_flavours", &p.extendFlavours, 0, 1, "a section may go on in another flavour than it began (the library does not promise that)"},
		{"irqreader", &p.irqreader, 0, 1, "readers in Hardirq handlers on top of other readers"},
		{"sleepers", &p.sleepers, 0, 1, "readers sleep where they may"},
		{"longdelay_ms", &p.longDelay, 0, 10000, "a reader's rare long delay"},
		{"read_exit_delay", &p.readExitDelay, 0, 1e6, "seconds between bursts of readers that read once and exit; 0: none"},
		{"read_exit_burst", &p.readExitBurst, 0, 1e5, "readers in a burst"},
		{"n_barrier_cbs", &p.nBarrierCbs, 0, 1024, "threads that post callbacks for the barrier test"},
		{"fwd_progress", &p.fwdProgress, 0, 1, "forward-progress tests: tight readers, callback floods"},
		{"fwd_progress_div", &p.fwdProgressDiv, 1, 1000, "the shortest tight-reader test is this part of the longest"},
		{"fwd_progress_holdoff", &p.fwdProgressHoldoff, 0, 1e6, "seconds between them"},
		{"stall_cpu", &p.stallCPU, 0, 1000, "seconds that a reader holds its section; 0: none"},
		{"stall_cpu_holdoff", &p.stallHoldoff, 0, 1e6, "seconds before that, at most a quarter of the time"},
		{"stall_cpu_irqsoff", &p.stallIRQsOff, 0, 1, "that reader has interrupts off"},
		{"stall_cpu_block", &p.stallBlock, 0, 1, "that reader sleeps"},
		{"rcu_cpu_stall_timeout", &p.stallTime, 0.01, 1e6, "seconds after which a stall must be reported"},
		{"onoff_interval", &p.onoffInterval, 0, 1e9, "ms between changes of GOMAXPROCS; 0: none"},
		{"onoff_holdoff", &p.onoffHoldoff, 0, 1e6, "seconds before the first"},
		{"shuffle_interval", &p.shuffleInterval, 0, 1e6, "seconds after which another reader rests; 0: none does"},
		{"stutter", &p.stutter, 0, 1e6, "seconds of running between two pauses; 0: none"},
		{"stat_interval", &p.statInterval, 0.01, 1e6, "seconds between progress reports"},
		{"watchdog", &p.watchdog, 1, 1e6, "seconds without progress that are a failure"},
		{"kfree_nthreads", &p.kfreeThreads, 0, 1024, "threads that allocate and free by FreeRCU"},
		{"kfree_alloc_num", &p.kfreeNum, 1, 1e7, "objects that they keep"},
		{"limit", &p.kfreeLimit, 256, 1 << 30, "memory limit in KiB"},
		{"owner_nthreads", &p.ownerThreads, 0, 1024, "threads that do so through Sheaves of their own"},
		{"owner_sheaves", &p.ownerSheaves, 1, 1 << 16, "Sheaves that each of them has open at most"},
		{"map_nthreads", &p.mapThreads, 0, 1024, "threads that change maps, each with keys of its own; 0: no maps"},
		{"map_nreaders", &p.mapReaders, 0, 1024, "threads that look up in the maps, and walk"},
		{"map_keys", &p.mapKeys, 100, 1e7, "keys that a map has at most"},
		{"map_stay", &p.mapStay, 0, 1e6, "of them never deleted: every look-up and every walk must find them"},
		{"map_limit", &p.mapLimit, 1024, 1 << 30, "memory limit of the maps in KiB"},
		{"map_ops", &p.mapOps, 0, 1e12, "operations on the maps after which the scenario ends, in one round; 0: when its time is over"},
		{"failslab", &p.failslab, 0, 100, "percent of object allocations made to fail beyond the fast path"},
		{"fail_page_alloc", &p.failPage, 0, 100, "percent of page allocations made to fail"},
		{"delay_permille", &p.delayPermille, 0, 1000, "of the tagged pairs made to dawdle (builds with -tags delay)"},
		{"preempt_rt", &p.preemptRT, 0, 1, "1: lock.Spin sleeps; 0: it spins"},
		{"membarrier", &p.membarrier, 0, 1, "0: grace periods stop the world"},
		{"plant_uaf", &p.plantUAF, 0, 1, "a bug on purpose: now and then Free in place of FreeRCU"},
		{"plant_hang", &p.plantHang, 0, 1, "a bug on purpose: a reader that never ends"},
		{"plant_lost", &p.plantLost, 0, 1, "a bug on purpose: an object that is never freed"},
	}
}

// defaults are the kernel's where it has the parameter, but for intervals that
// fit its runs of hours: those are shorter.
func defaults() params {
	return params{
		tortureType: "rcu", nreaders: -1, nfakewriters: 4,
		extendables: extAll, irqreader: true, longDelay: 300,
		readExitDelay: 13, readExitBurst: 16, nBarrierCbs: 4,
		fwdProgress: true, fwdProgressDiv: 4, fwdProgressHoldoff: 20,
		stallHoldoff: 10, stallTime: 10,
		shuffleInterval: 3, stutter: 5, statInterval: 5, watchdog: 30,
		kfreeThreads: 1, kfreeNum: 8000, kfreeLimit: 256 << 10, ownerSheaves: 8,
		mapKeys: 16384, mapStay: 500, mapLimit: 256 << 10,
		delayPermille: 5, preemptRT: true, membarrier: true,
	}
}

// set parses text of name=value words; "#" begins a comment. Errors name the
// parameter.
func (p *params) set(text string) error {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, word := range strings.Fields(line) {
			name, value, ok := strings.Cut(word, "=")
			name = strings.TrimPrefix(name, "rcutorture.")
			if !ok {
				return fmt.Errorf("%q is no name=value", word)
			}
			rows := p.table()
			i := slices.IndexFunc(rows, func(r param) bool { return r.name == name })
			if i < 0 {
				return fmt.Errorf("no parameter is called %s", name)
			}
			if err := rows[i].parse(value); err != nil {
				return fmt.Errorf("%s=%s: %w", name, value, err)
			}
		}
	}
	return p.check()
}

func (r param) parse(value string) error {
	if s, ok := r.field.(*string); ok {
		*s = value
		return nil
	}
	var v float64
	var err error
	if n, e := strconv.ParseInt(value, 0, 64); e == nil {
		v = float64(n)
	} else if v, err = strconv.ParseFloat(value, 64); err != nil || math.IsNaN(v) {
		return fmt.Errorf("want a number")
	}
	if v < r.least || v > r.most {
		return fmt.Errorf("want a number from %v to %v", r.least, r.most)
	}
	if _, ok := r.field.(*float64); !ok && v != math.Trunc(v) {
		return fmt.Errorf("want a whole number")
	}
	switch f := r.field.(type) {
	case *int:
		*f = int(v)
	case *bool:
		*f = v != 0
	case *float64:
		*f = v
	}
	return nil
}

func (r param) value() string {
	switch f := r.field.(type) {
	case *int:
		return strconv.Itoa(*f)
	case *bool:
		if *f {
			return "1"
		}
		return "0"
	case *float64:
		return strconv.FormatFloat(*f, 'g', -1, 64)
	case *string:
		return *f
	}
	return ""
}

// check rejects what no single parameter shows.
func (p *params) check() error {
	if !slices.Contains([]string{"rcu", "batch", "busted"}, p.tortureType) {
		return fmt.Errorf("torture_type=%s: want rcu, batch or busted", p.tortureType)
	}
	if p.extendables&(extIRQ|extPreempt|extRaw|extHardirq|extRCU|extReader) == 0 {
		return fmt.Errorf("extendables=%d: nothing in it is a read-side section", p.extendables)
	}
	if p.mapThreads > 0 && (p.mapKeys < p.mapThreads || p.mapStay > p.mapKeys-p.mapThreads || p.mapStay < p.mapThreads && p.mapStay > 0) {
		return fmt.Errorf("map_stay=%d: want from map_nthreads=%d to so many less than map_keys=%d", p.mapStay, p.mapThreads, p.mapKeys)
	}
	if p.stallCPU > 0 && p.stallCPU > p.watchdog/2 {
		return fmt.Errorf("stall_cpu=%v: more than half of watchdog=%v", p.stallCPU, p.watchdog)
	}
	return nil
}

// words returns the parameters that are not at their defaults, and all after
// them if wanted, as set reads them.
func (p *params) words() string {
	d := defaults()
	base := d.table()
	var out []string
	for i, r := range p.table() {
		if v := r.value(); v != base[i].value() {
			out = append(out, r.name+"="+v)
		}
	}
	return strings.Join(out, " ")
}

// options is what QUIESCE must have when the scenario's process starts.
func (p *params) options() string { return strings.Join(p.env(), ",") }

func (p *params) env() (o []string) {
	if !p.preemptRT {
		o = append(o, "preempt_rt=0")
	}
	if !p.membarrier {
		o = append(o, "membarrier=0")
	}
	return o
}

// broken reports whether the scenario fails on purpose.
func (p *params) broken() bool {
	return p.tortureType == "busted" || p.plantUAF || p.plantHang || p.plantLost
}

// seconds is a duration of so many seconds.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Params describes the parameters for a help text: name, default, meaning.
func Params() (rows [][3]string) {
	d := defaults()
	for _, r := range d.table() {
		rows = append(rows, [3]string{r.name, r.value(), r.help})
	}
	return rows
}
