package predict

import "context"

// Variant is where throughput bends if one thing is not as measured or assumed.
type Variant struct {
	What string `json:"what"`
	Knee int    `json:"ps"` // 0: not up to kneeMost, or the most that was asked for
}

// kneeMost bounds the search: what bends later is of no use to a range.
const kneeMost = 256

// vary looks for the knee again, with one thing changed at a time.
func (r *Report) vary(ctx context.Context, cfg Config, all []int) error {
	scaled := func(change func(*Params)) *Params {
		p := r.Params
		change(&p)
		return &p
	}
	same := &r.Params
	tries := []struct {
		what   string
		params *Params
		assume Pick
		seed   uint64
	}{
		{"as measured, another seed", same, Mid, 1},
		{"ipi_send_ns and line_far low", same, Low, 0},
		{"ipi_send_ns and line_far high", same, High, 0},
		{"spin_handoff_ns a quarter", scaled(func(p *Params) { p.SpinHandoff /= 4 }), Mid, 0},
		{"spin_handoff_ns four times", scaled(func(p *Params) { p.SpinHandoff *= 4 }), Mid, 0},
		{"pair_ns 0.4 times (a quiet machine)", scaled(func(p *Params) { p.Pair *= 0.4 }), Mid, 0},
		{"refill_object_ns and flush_object_ns twice", scaled(func(p *Params) { p.RefillObj *= 2; p.FlushObj *= 2 }), Mid, 0},
		{"handover_sheaf_ns twice", scaled(func(p *Params) { p.Handover *= 2 }), Mid, 0},
	}
	var jobs []*job
	var few []int
	for _, n := range all {
		if n <= kneeMost {
			few = append(few, n)
		}
	}
	for _, t := range tries {
		for _, n := range few {
			l := loadOf(cfg, n, Design{})
			l.Nanos, l.Warm = l.Nanos/2, l.Warm/2
			l.Assume, l.Seed = t.assume, l.Seed+t.seed
			jobs = append(jobs, &job{params: t.params, load: l})
		}
	}
	if err := simulate(ctx, cfg, jobs, "simulating what is uncertain"); err != nil {
		return err
	}
	for i, t := range tries {
		byPs := map[int]Result{}
		for _, j := range jobs[i*len(few) : (i+1)*len(few)] {
			byPs[j.load.Ps] = j.res
		}
		n, _ := knee(few, byPs)
		r.Variants = append(r.Variants, Variant{t.what, n})
	}
	return nil
}

// kneeRange is the least and the greatest of the variants' knees; 0: none.
func (r *Report) kneeRange() (low, high int) {
	for i, v := range r.Variants {
		n := v.Knee
		if n == 0 {
			n = MaxPs + 1
		}
		if i == 0 || n < low {
			low = n
		}
		high = max(high, n)
	}
	return low % (MaxPs + 1), high % (MaxPs + 1)
}
