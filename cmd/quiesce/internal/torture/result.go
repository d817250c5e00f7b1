package torture

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/fault"
)

// sum has the sums of tallies.
type sum struct {
	mu                  sync.Mutex // exits only: many add to one
	reads, handed, irqs uint64
	mailTries, kreads   uint64
	pipe, batch         [pipeLen + 1]uint64
	wrong               [wrongs]uint64
	kept                []*tally // of exited readers that saw something wrong
}

func (u *sum) add(t *tally) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads += t.reads.Load()
	u.handed += t.handed.Load()
	u.irqs += t.irqs.Load()
	u.mailTries += t.mailTries.Load()
	u.kreads += t.kreads.Load()
	bad := false
	for i := range u.pipe {
		u.pipe[i] += t.pipe[i].Load()
		u.batch[i] += t.batch[i].Load()
	}
	for i := range u.wrong {
		n := t.wrong[i].Load()
		u.wrong[i] += n
		bad = bad || n > 0
	}
	if bad && len(u.kept) < 4 {
		u.kept = append(u.kept, t)
	}
}

// tallies sums what all readers counted so far.
func (s *session) tallies() *sum {
	u := new(sum)
	s.exits.mu.Lock()
	e := &s.exits
	u.reads, u.handed, u.irqs, u.mailTries, u.kreads = e.reads, e.handed, e.irqs, e.mailTries, e.kreads
	u.pipe, u.batch, u.wrong = e.pipe, e.batch, e.wrong
	s.exits.mu.Unlock()
	for _, r := range s.readers {
		u.add(&r.t)
	}
	for _, t := range s.handed {
		u.add(t)
	}
	return u
}

// Status is a moment of a session.
type Status struct {
	Scenario string  `json:"scenario"`
	ElapsedS float64 `json:"elapsed_s"`
	LengthS  float64 `json:"length_s"`
	Version  uint64  `json:"ver"`
	GPs      uint64  `json:"grace_periods"`
	Reads    uint64  `json:"reads"`
	Kfree    uint64  `json:"kfree_objects"`
	Resident int64   `json:"resident_bytes"`
	Failures uint64  `json:"failures"`

	// Since the status before.
	GPsPerS   float64 `json:"grace_periods_per_s"`
	ReadsPerS float64 `json:"reads_per_s"`
	KfreePerS float64 `json:"kfree_objects_per_s"`

	// Of the whole run, set by Run.
	Round, Rounds int           `json:"-"`
	Total         time.Duration `json:"-"` // elapsed
	Length        time.Duration `json:"-"`
}

// step is st for a display.
func (st *Status) step() kit.Step {
	phase := st.Scenario + " starts"
	words := fmt.Sprintf("%s of %s, round %d/%d, %s", st.Total.Round(time.Second), st.Length, st.Round, st.Rounds, st.Scenario)
	if st.ElapsedS > 0 {
		phase = st.Scenario
		words += fmt.Sprintf(": %s gp/s, %s reads/s", kit.SI(st.GPsPerS), kit.SI(st.ReadsPerS))
	}
	if st.Failures > 0 {
		words += fmt.Sprintf(", !!! %d", st.Failures)
	}
	return kit.Step{Phase: phase, Text: words}
}

func (s *session) status() Status {
	t := s.tallies()
	st := Status{
		Scenario: s.name, ElapsedS: time.Since(s.start).Seconds(), LengthS: s.length.Seconds(),
		Version: s.version.Load(), GPs: s.ops.completed() - s.gpStart, Reads: t.reads,
		Resident: s.pages.Stats().Resident,
	}
	for _, k := range s.kfreers {
		st.Kfree += k.freed.Load()
	}
	for _, n := range t.wrong {
		st.Failures += n
	}
	s.mu.Lock()
	st.Failures += uint64(len(s.failures))
	s.mu.Unlock()
	return st
}

func (st *Status) rates(last Status, d time.Duration) {
	st.GPsPerS = float64(st.GPs-last.GPs) / d.Seconds()
	st.ReadsPerS = float64(st.Reads-last.Reads) / d.Seconds()
	st.KfreePerS = float64(st.Kfree-last.Kfree) / d.Seconds()
}

// Result is what a scenario's sessions found. Counts are sums over all rounds.
// The labels in comments are the summary's.
type Result struct {
	Scenario string `json:"scenario"`
	Params   string `json:"parameters"` // those not at their defaults
	Options  string `json:"quiesce_options"`
	Verdict  string `json:"verdict"` // SUCCESS, FAILURE, INTERRUPTED, NOT RUN
	OK       bool   `json:"ok"`
	Partial  bool   `json:"partial"`
	Hung     bool   `json:"hung"`
	Broken   bool   `json:"expected_to_fail"`

	Rounds int      `json:"rounds"`
	Seeds  []uint64 `json:"seeds"`
	RanS   float64  `json:"ran_s"`
	Procs  int      `json:"gomaxprocs"`

	Current     string              `json:"rtc"`   // the object that is current, now and then
	Version     uint64              `json:"ver"`   // objects published
	FreeEmpty   int                 `json:"tfle"`  // 1: the pool was empty at the end
	Allocs      uint64              `json:"rta"`   // objects allocated
	AllocFailed uint64              `json:"rtaf"`  // allocations that got none
	Frees       uint64              `json:"rtf"`   // objects freed
	MarkErrors  uint64              `json:"rtmbe"` // see doc.go
	MailFailed  uint64              `json:"rtmbkf"`
	MailTries   uint64              `json:"rtmbk_tries"`
	BarrierErr  uint64              `json:"rtbe"`
	BoostKthr   uint64              `json:"rtbke"` // there is no priority boosting here: 0
	BoostFail   uint64              `json:"rtbf"`  // 0
	Boosts      uint64              `json:"rtb"`   // 0
	IRQs        uint64              `json:"nt"`    // readers in handlers
	Pipe        [pipeLen + 1]uint64 `json:"reader_pipe"`
	Batch       [pipeLen + 1]uint64 `json:"reader_batch"`
	Circulation [pipeLen + 1]uint64 `json:"free_block_circulation"`

	Reused       uint64            `json:"reused_in_section"`
	CookieErrors uint64            `json:"cookie_errors"`
	Reads        uint64            `json:"reads"`
	HandedOver   uint64            `json:"guards_handed_over"`
	ReadExits    uint64            `json:"read_exits"`
	GPs          uint64            `json:"grace_periods"`
	Turns        map[string]uint64 `json:"writer_turns"`
	Fakes        uint64            `json:"fake_writer_turns"`
	Callbacks    uint64            `json:"callbacks"`
	BarrierTries uint64            `json:"barrier_tests"`
	BarrierOK    uint64            `json:"barrier_tests_ok"`
	Onoffs       uint64            `json:"onoff"`
	OnoffMaxNS   uint64            `json:"onoff_max_ns"`
	Shuffles     uint64            `json:"shuffles"`
	Stutters     uint64            `json:"stutters"`
	Stalls       uint64            `json:"stalls"`
	StallReports uint64            `json:"stall_reports"`
	Planted      uint64            `json:"planted"`

	FwdReaders   uint64 `json:"fwd_tight_reader_tests"`
	FwdFloods    uint64 `json:"fwd_flood_tests"`
	FwdInvoked   uint64 `json:"fwd_callbacks_invoked"`
	FwdLaundered uint64 `json:"fwd_laundered"` // through 3 grace periods and more
	FwdMaxCBs    uint64 `json:"n_max_cbs"`

	Kfree  KfreeResult  `json:"kfree"`
	Owner  OwnerResult  `json:"owner"`
	Map    MapResult    `json:"map"`
	Memory MemoryResult `json:"memory"`

	Injected

	Failures []Failure `json:"failures"`
	Notes    []string  `json:"notes"`
	Log      string    `json:"log,omitempty"` // of a failed process: the end of its stderr
}

// Injected counts what was injected.
type Injected struct {
	FailSlab      uint64 `json:"failslab_injected"`
	FailPageAlloc uint64 `json:"fail_page_alloc_injected"`
	Delayed       uint64 `json:"delays_injected"`
}

// KfreeResult is the FreeRCU part: objects.
type KfreeResult struct {
	Allocated   uint64            `json:"allocated"`
	Freed       uint64            `json:"freed_by_rcu"`
	Direct      uint64            `json:"freed_directly"`
	Failed      uint64            `json:"allocations_failed"`
	Reads       uint64            `json:"stamps_read"`
	StampErrors uint64            `json:"stamp_errors"`
	By          map[string]uint64 `json:"operations_by_context"`
	Arrays      uint64            `json:"in_arrays"`
	Reused      uint64            `json:"whole_sheaf_reuse"`
	Bulk        uint64            `json:"kfree_bulk"`
	Fallback    uint64            `json:"fallback_chain"`
}

// MemoryResult is the allocator's resident memory in bytes. Over rounds, the
// first start, the highest peak, the last end.
type MemoryResult struct {
	Limit int64 `json:"limit_bytes"`
	Start int64 `json:"start_bytes"`
	Early int64 `json:"early_mean_bytes"` // mean over the second quarter of the time
	Late  int64 `json:"late_mean_bytes"`  // over the last
	Peak  int64 `json:"peak_bytes"`
	End   int64 `json:"end_bytes"` // everything freed and shrunk
}

// Verdicts.
const (
	success     = "SUCCESS"
	failure     = "FAILURE"
	interrupted = "INTERRUPTED"
	notRun      = "NOT RUN"
)

// result makes the report. For a session that hangs it reads only what needs no
// lock of the library.
func (s *session) result() *Result {
	t := s.tallies()
	r := &Result{
		Scenario: s.name, Params: s.p.words(), Options: s.p.options(), Broken: s.p.broken(),
		Rounds: 1, Seeds: []uint64{s.seed}, RanS: s.ended.Seconds(), Procs: s.procs,
		Version: s.version.Load(), Allocs: s.allocs.Load(), AllocFailed: s.allocFailed.Load(), Frees: s.frees.Load(),
		MarkErrors: t.wrong[wrongMark], MailFailed: t.wrong[wrongMail], MailTries: t.mailTries,
		BarrierErr: s.barrierErrors.Load(), IRQs: t.irqs, Pipe: t.pipe, Batch: t.batch,
		Reused: t.wrong[wrongGen], CookieErrors: t.wrong[wrongCookie] + s.cookieErrors.Load(),
		Reads: t.reads, HandedOver: t.handed, ReadExits: s.nExits.Load(),
		GPs: s.ops.completed() - s.gpStart, Turns: map[string]uint64{}, Fakes: s.fakes.Load(), Callbacks: s.callbacks.Load(),
		BarrierTries: s.barriers.Load(), BarrierOK: s.barrierOK.Load(),
		Onoffs: s.onoffs.Load(), OnoffMaxNS: s.onoffMax.Load(), Shuffles: s.shuffles.Load(), Stutters: s.stutters.Load(),
		Stalls: s.stalls.Load(), StallReports: s.stallReports.Load(), Planted: s.planted.Load(),
		FwdReaders: s.fwd.readers.Load(), FwdFloods: s.fwd.floods.Load(), FwdInvoked: s.fwd.invoked.Load(),
		FwdLaundered: s.fwd.laundered.Load(), FwdMaxCBs: s.fwd.maxCBs.Load(),
		Injected: Injected{FailSlab: fault.Slab.Injected() - s.slabFaults, FailPageAlloc: fault.Page.Injected() - s.pageFaults, Delayed: fault.Delayed()},
	}
	r.Current = s.seen
	if s.live.Load() >= poolSize {
		r.FreeEmpty = 1
	}
	for i := range r.Circulation {
		r.Circulation[i] = s.wcount[i].Load()
	}
	for i, name := range wayNames {
		if n := s.turns[i].Load(); n > 0 {
			r.Turns[name] = n
		}
	}
	k := &r.Kfree
	k.By = map[string]uint64{}
	for _, f := range s.kfreers {
		k.Allocated += f.allocated.Load()
		k.Freed += f.freed.Load()
		k.Direct += f.direct.Load()
		k.Failed += f.failed.Load()
		for i := range f.by {
			if n := f.by[i].Load(); n > 0 {
				k.By[contextNames[i]] += n
			}
		}
	}
	k.Reads, k.StampErrors = t.kreads, t.wrong[wrongStamp]
	k.Arrays, k.Reused, k.Bulk, k.Fallback = s.routes[0], s.routes[1], s.routes[2], s.routes[3]
	r.Owner = s.owners.result()
	r.Map = s.maps.result()
	m := &r.Memory
	st := s.pages.Stats()
	m.Limit, m.Start, m.Peak, m.End = int64(s.p.kfreeLimit)<<10, s.memStart, st.Peak, s.memEnd
	m.Early, m.Late = mean(s.memSamples, 1), mean(s.memSamples, 3)
	s.mu.Lock()
	r.Failures, r.Notes = slices.Clone(s.failures), slices.Clone(s.notes)
	s.mu.Unlock()
	r.OK = len(r.Failures) == 0
	return r
}

// mean is that of a quarter, 0 to 3, of the samples.
func mean(v []int64, quarter int) (m int64) {
	v = v[len(v)*quarter/4 : len(v)*(quarter+1)/4]
	for _, x := range v {
		m += x
	}
	return m / int64(max(len(v), 1))
}

// settle sets the verdict.
func (r *Result) settle() {
	switch {
	case len(r.Failures) > 0:
		r.Verdict = failure
	case r.Rounds == 0:
		r.Verdict = notRun
	case r.Partial:
		r.Verdict = interrupted
	default:
		r.Verdict = success
	}
	r.OK = len(r.Failures) == 0
	if r.Failures == nil {
		r.Failures = []Failure{}
	}
}

// merge adds another round.
func (r *Result) merge(o *Result) {
	if r.Rounds == 0 {
		*r = *o
		return
	}
	r.Rounds += o.Rounds
	r.Seeds = append(r.Seeds, o.Seeds...)
	r.RanS += o.RanS
	r.Partial = r.Partial || o.Partial
	r.Hung = r.Hung || o.Hung
	r.Current, r.FreeEmpty, r.Procs = o.Current, o.FreeEmpty, max(r.Procs, o.Procs)
	for _, p := range [][2]*uint64{
		{&r.Version, &o.Version}, {&r.Allocs, &o.Allocs}, {&r.AllocFailed, &o.AllocFailed}, {&r.Frees, &o.Frees},
		{&r.MarkErrors, &o.MarkErrors}, {&r.MailFailed, &o.MailFailed}, {&r.MailTries, &o.MailTries},
		{&r.BarrierErr, &o.BarrierErr}, {&r.IRQs, &o.IRQs}, {&r.Reused, &o.Reused}, {&r.CookieErrors, &o.CookieErrors},
		{&r.Reads, &o.Reads}, {&r.HandedOver, &o.HandedOver}, {&r.ReadExits, &o.ReadExits}, {&r.GPs, &o.GPs},
		{&r.Fakes, &o.Fakes}, {&r.Callbacks, &o.Callbacks}, {&r.BarrierTries, &o.BarrierTries}, {&r.BarrierOK, &o.BarrierOK},
		{&r.Onoffs, &o.Onoffs}, {&r.Shuffles, &o.Shuffles}, {&r.Stutters, &o.Stutters}, {&r.Stalls, &o.Stalls},
		{&r.StallReports, &o.StallReports}, {&r.Planted, &o.Planted}, {&r.FwdReaders, &o.FwdReaders},
		{&r.FwdFloods, &o.FwdFloods}, {&r.FwdInvoked, &o.FwdInvoked}, {&r.FwdLaundered, &o.FwdLaundered},
		{&r.FailSlab, &o.FailSlab}, {&r.FailPageAlloc, &o.FailPageAlloc}, {&r.Delayed, &o.Delayed},
		{&r.Kfree.Allocated, &o.Kfree.Allocated}, {&r.Kfree.Freed, &o.Kfree.Freed}, {&r.Kfree.Direct, &o.Kfree.Direct},
		{&r.Kfree.Failed, &o.Kfree.Failed}, {&r.Kfree.Reads, &o.Kfree.Reads}, {&r.Kfree.StampErrors, &o.Kfree.StampErrors},
		{&r.Kfree.Arrays, &o.Kfree.Arrays}, {&r.Kfree.Reused, &o.Kfree.Reused}, {&r.Kfree.Bulk, &o.Kfree.Bulk},
		{&r.Kfree.Fallback, &o.Kfree.Fallback},
		{&r.Owner.Ops, &o.Owner.Ops}, {&r.Owner.Opened, &o.Owner.Opened}, {&r.Owner.Closed, &o.Owner.Closed},
		{&r.Owner.Dropped, &o.Owner.Dropped}, {&r.Owner.Handed, &o.Owner.Handed}, {&r.Owner.Refills, &o.Owner.Refills},
		{&r.Owner.Refused, &o.Owner.Refused}, {&r.Owner.Barriers, &o.Owner.Barriers}, {&r.Owner.Errors, &o.Owner.Errors},
		{&r.Map.Ops, &o.Map.Ops}, {&r.Map.Puts, &o.Map.Puts}, {&r.Map.Refused, &o.Map.Refused}, {&r.Map.Deletes, &o.Map.Deletes},
		{&r.Map.Finds, &o.Map.Finds}, {&r.Map.Walks, &o.Map.Walks}, {&r.Map.Walked, &o.Map.Walked},
		{&r.Map.Clears, &o.Map.Clears}, {&r.Map.Phases, &o.Map.Phases},
	} {
		*p[0] += *p[1]
	}
	r.OnoffMaxNS, r.FwdMaxCBs = max(r.OnoffMaxNS, o.OnoffMaxNS), max(r.FwdMaxCBs, o.FwdMaxCBs)
	for i := range r.Pipe {
		r.Pipe[i] += o.Pipe[i]
		r.Batch[i] += o.Batch[i]
		r.Circulation[i] += o.Circulation[i]
	}
	addMap(&r.Turns, o.Turns)
	addMap(&r.Kfree.By, o.Kfree.By)
	r.Map.Peak = max(r.Map.Peak, o.Map.Peak)
	r.Memory.Peak, r.Memory.End, r.Memory.Late = max(r.Memory.Peak, o.Memory.Peak), o.Memory.End, o.Memory.Late
	for _, f := range o.Failures {
		if i := slices.IndexFunc(r.Failures, func(g Failure) bool { return g.Kind == f.Kind }); i >= 0 {
			r.Failures[i].Count += f.Count
		} else {
			r.Failures = append(r.Failures, f)
		}
	}
	r.Notes = append(r.Notes, o.Notes...)
	if n := len(r.Notes); n > 20 {
		r.Notes = r.Notes[n-20:]
	}
	r.Log += o.Log
}

func addMap(to *map[string]uint64, from map[string]uint64) {
	if *to == nil {
		*to = map[string]uint64{}
	}
	for k, n := range from {
		(*to)[k] += n
	}
}
