package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"

	"quiesce/bench/internal/harness"
)

// job is a row to measure. A trace in a file is read when its turn comes.
type job struct {
	name     string
	path     string // of its file; or
	trace    *trace
	capacity int
	sized    bool
	file     bool // counts for the verdicts on traces
}

func (j job) String() string { return fmt.Sprintf("%s/%d", j.name, j.capacity) }

// Row is a workload at a capacity: the part of hits of each cache, in percent.
type Row struct {
	Name     string             `json:"name"`
	Capacity int                `json:"capacity"`
	Trace    bool               `json:"trace"` // from a file
	Requests int                `json:"requests"`
	Keys     int                `json:"keys"`
	Hits     map[string]float64 `json:"hits"`
	Bytes    map[string]float64 `json:"bytes,omitempty"` // of bytes that hit
}

// Report is all that was measured.
type Report struct {
	harness.Machine
	Count    int       `json:"count"`
	Short    bool      `json:"short"`
	Partial  bool      `json:"partial"`
	Rows     []*Row    `json:"rows"`
	Sized    []*Row    `json:"sized"` // capacity in bytes
	Verdicts []verdict `json:"verdicts"`

	Sheets  []Sheet           `json:"sheets"`
	Targets []harness.Verdict `json:"targets"`
	Failed  []string          `json:"failed"`
}

// findJobs lists the rows that are wanted.
func findJobs(o options, want *regexp.Regexp) (jobs []job, err error) {
	add := func(j job) {
		if want.MatchString(j.String()) {
			jobs = append(jobs, j)
		}
	}
	if o.traces != "" {
		paths, err := tracesIn(o.traces)
		if err == nil && len(paths) == 0 {
			err = fmt.Errorf("%s: no traces", o.traces)
		}
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			name := traceName(path)
			f, _ := formatOf(name)
			for _, c := range f.at {
				add(job{name: name, path: path, capacity: c, file: true})
			}
			if f.sizes {
				for _, mb := range []int{16, 64, 256} {
					add(job{name: name, path: path, capacity: mb << 20, sized: true, file: true})
				}
			}
		}
	}
	for _, t := range generated(o.short) {
		for _, part := range []int{100, 20} {
			add(job{name: t.name, trace: t, capacity: t.keys / part})
		}
	}
	mixes, err := sizeMixes(o.sizes)
	if err != nil {
		return nil, err
	}
	for _, m := range mixes {
		t := sized(m, o.short)
		total := 0
		for _, s := range t.sizes {
			total += int(s)
		}
		for _, part := range []int{100, 10} {
			add(job{name: t.name, trace: t, capacity: total / part, sized: true})
		}
	}
	return jobs, nil
}

// traceName is a file's name without what says how it is compressed.
func traceName(path string) string {
	name := filepath.Base(path)
	if ext := filepath.Ext(name); ext == ".gz" || ext == ".xz" {
		name = name[:len(name)-len(ext)]
	}
	return name
}

// measure measures the jobs and the sheets.
func measure(ctx context.Context, jobs []job, sheets []sheet, o options, errs io.Writer) (*Report, error) {
	rep := &Report{Machine: harness.ThisMachine(), Count: o.count, Short: o.short,
		Sheets: []Sheet{}, Targets: []harness.Verdict{}, Failed: []string{}}
	prog := harness.NewProgress("caches", errs)
	defer prog.End()
	prog.Total = len(jobs)
	for _, r := range runsOf(sheets) {
		prog.Total += len(r.brands) * o.count
	}
	var last *trace
	var lastPath string
	for _, j := range jobs {
		if ctx.Err() != nil {
			rep.Partial = true
			break
		}
		prog.Row(j.String())
		if j.path != "" && j.path != lastPath {
			t, _, err := openTrace(j.path)
			if err != nil {
				return nil, err
			}
			last, lastPath = t, j.path
		}
		if j.path != "" {
			j.trace = last
		}
		row, err := j.measure(ctx, o.count)
		if err != nil {
			return nil, err
		}
		switch {
		case ctx.Err() != nil:
		case j.sized:
			rep.Sized = append(rep.Sized, row)
		default:
			rep.Rows = append(rep.Rows, row)
		}
	}
	rep.Verdicts = judge(rep)
	err := rep.measureSheets(ctx, sheets, prog)
	for _, f := range rep.Failed {
		prog.Line("failed: " + f)
	}
	return rep, err
}

func (j job) measure(ctx context.Context, count int) (*Row, error) {
	r := &Row{Name: j.name, Capacity: j.capacity, Trace: j.file, Requests: len(j.trace.requests), Keys: j.trace.keys,
		Hits: map[string]float64{}}
	if j.sized {
		r.Bytes = map[string]float64{}
	}
	for _, p := range peers {
		if j.sized && !p.sized {
			continue
		}
		var hits, bytes []float64
		for run := range count {
			if run > 0 && p.fixed || ctx.Err() != nil {
				break
			}
			s, err := p.make(j.capacity, j.trace.keys, j.sized, uint64(run)+1)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", j, p.name, err)
			}
			h, b := replay(j.trace, j.sized, s)
			s.close()
			hits, bytes = append(hits, h), append(bytes, b)
		}
		r.Hits[p.name] = harness.Median(hits)
		if j.sized {
			r.Bytes[p.name] = harness.Median(bytes)
		}
	}
	return r, nil
}

// replay makes a trace's requests, and returns the hits in percent of them, and
// of their bytes.
func replay(t *trace, sized bool, s subject) (hits, bytes float64) {
	var hit, hitBytes, allBytes uint64
	for _, key := range t.requests {
		size := uint32(1)
		if sized {
			size = t.sizes[key]
		}
		allBytes += uint64(size)
		if s.request(key, size) {
			hit++
			hitBytes += uint64(size)
		}
	}
	return 100 * float64(hit) / float64(len(t.requests)), 100 * float64(hitBytes) / float64(allBytes)
}
