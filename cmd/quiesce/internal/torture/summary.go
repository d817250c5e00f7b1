package torture

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"quiesce/internal/fault"
)

const delays = fault.Delays

const summaryWidth = 80

// Summary writes rcutorture's report of a scenario, with its labels. Lines that
// are longer than 80 columns continue on the next one.
func (r *Result) Summary(w io.Writer) {
	line := func(format string, args ...any) {
		const gap = "\ue000" // keeps a label and its value on one line
		words := strings.ReplaceAll(fmt.Sprintf(format, args...), ": ", ":"+gap)
		for l := range strings.SplitSeq(text.WrapSoft(words, summaryWidth-len(r.Scenario)-2), "\n") {
			fmt.Fprintf(w, "%s: %s\n", r.Scenario, strings.TrimSpace(strings.ReplaceAll(l, gap, " ")))
		}
	}
	if r.Rounds == 0 {
		line("%s", r.Verdict)
		return
	}
	line("rtc: %s ver: %d tfle: %d rta: %d rtaf: %d rtf: %d rtmbe: %d rtmbkf: %d/%d rtbe: %d rtbke: %d rtbf: %d rtb: %d nt: %d",
		or(r.Current, "-"), r.Version, r.FreeEmpty, r.Allocs, r.AllocFailed, r.Frees, r.MarkErrors, r.MailFailed, r.MailTries,
		r.BarrierErr, r.BoostKthr, r.BoostFail, r.Boosts, r.IRQs)
	line("onoff: %d (longest %.1f ms) barrier: %d/%d:%d read-exits: %d",
		r.Onoffs, float64(r.OnoffMaxNS)/1e6, r.BarrierOK, r.BarrierTries, r.BarrierErr, r.ReadExits)
	line("shuffles: %d stutters: %d stalls: %d reported: %d handed over: %d", r.Shuffles, r.Stutters, r.Stalls, r.StallReports, r.HandedOver)
	line("Reader Pipe:%s", pipeline(r.Pipe, 2))
	line("Reader Batch:%s", pipeline(r.Batch, 2))
	line("Free-Block Circulation:%s", pipeline(r.Circulation, pipeLen))
	if r.FwdFloods+r.FwdReaders > 0 {
		line("fwd_progress: %d floods, n_max_cbs %d, %d tight readers", r.FwdFloods, r.FwdMaxCBs, r.FwdReaders)
	}
	k := &r.Kfree
	if k.Allocated > 0 {
		line("kfree: allocated %d freed %d failed %d", k.Allocated, k.Freed+k.Direct, k.Failed)
		line("kfree: in arrays %d (%.1f%%) fallback %d", k.Arrays, percent(k.Arrays, k.Arrays+k.Fallback), k.Fallback)
		line("kfree: stamps read %d errors %d", k.Reads, k.StampErrors)
	}
	if p := &r.Owner; p.Ops > 0 {
		line("owner: ops %d Sheaves opened %d closed %d dropped %d handed over %d", p.Ops, p.Opened, p.Closed, p.Dropped, p.Handed)
		line("owner: refills %d refused %d barriers %d stock errors %d", p.Refills, p.Refused, p.Barriers, p.Errors)
	}
	if p := &r.Map; p.Ops > 0 {
		line("map: ops %d puts %d refused %d deletes %d clears %d phases %d", p.Ops, p.Puts, p.Refused, p.Deletes, p.Clears, p.Phases)
		line("map: look-ups %d walks %d of %d keys, peak %d KiB", p.Finds, p.Walks, p.Walked, p.Peak>>10)
	}
	m := &r.Memory
	line("KiB: start %d early %d late %d peak %d end %d limit %d",
		m.Start>>10, m.Early>>10, m.Late>>10, m.Peak>>10, m.End>>10, m.Limit>>10)
	line("injected: failslab %d fail_page_alloc %d delays %d", r.FailSlab, r.FailPageAlloc, r.Delayed)
	if r.RanS > 0 {
		rounds := "rounds"
		if r.Rounds == 1 {
			rounds = "round"
		}
		line("%.1f s in %d %s: %.0f gp/s, %.0f ver/s, %.0f reads/s, %.0f frees/s",
			r.RanS, r.Rounds, rounds, float64(r.GPs)/r.RanS, float64(r.Version)/r.RanS, float64(r.Reads)/r.RanS, float64(k.Freed)/r.RanS)
	}
	for _, f := range r.Failures {
		line("!!! %s: %d times, first: %s", f.Kind, f.Count, f.First)
	}
	if len(r.Failures) > 0 {
		line("seeds: %s parameters: %s", strings.Trim(fmt.Sprint(r.Seeds), "[]"), or(r.Params, "the defaults"))
	}
	line("End of test: %s", r.Verdict)
}

// pipeline is a histogram, marked if it has anything from index bad on.
func pipeline(h [pipeLen + 1]uint64, bad int) string {
	var b strings.Builder
	for i, n := range h {
		if i >= bad && n > 0 && !strings.Contains(b.String(), "!!!") {
			b.WriteString(" !!!")
		}
		fmt.Fprintf(&b, " %d", n)
	}
	return b.String()
}

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

func percent(part, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return 100 * float64(part) / float64(all)
}
