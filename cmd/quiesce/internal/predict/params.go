package predict

import (
	"fmt"
	"reflect"
	"runtime"
)

// Params are the model's measured parameters. All times are nanoseconds of a
// processor. The tags say how each one is measured.
type Params struct {
	MembarrierAlone float64 `json:"membarrier_alone_ns" how:"membarrier, no other thread of the process running"`
	MembarrierPeer  float64 `json:"membarrier_peer_ns" how:"membarrier, one other thread running all the while"`
	IPISteal        float64 `json:"ipi_steal_ns" how:"what one membarrier takes from the running peer"`
	GPFixed         float64 `json:"gp_fixed_ns" how:"Synchronize at GOMAXPROCS=1, less one membarrier"`
	ScanP           float64 `json:"scan_per_p_ns" how:"steps 2, 4 and 5: reading the lines of 512 Ps, in cache, and the slope of Synchronize over GOMAXPROCS 1..512"`
	Line            float64 `json:"line_ns" how:"reading 512 lines that another processor wrote a moment ago, per line"`
	DrainSlot       float64 `json:"drain_slot_ns" how:"swap and busy look of one slot, lines in cache, per round"`
	Pair            float64 `json:"pair_ns" how:"Alloc and FreeRCU of an object, no slow path"`
	SheafSlow       float64 `json:"sheaf_slow_ns" how:"the slow paths of a sheaf of both, depot filled, nothing else running"`
	StackOp         float64 `json:"stack_op_ns" how:"push or pop of a stack of sheaves, alone"`
	StackTwo        float64 `json:"stack_two_ns" how:"time between two successes when two Ps push and pop without a pause"`
	StackRetries    float64 `json:"stack_retries" how:"failed compare-and-swaps per success in the same run"`
	SpinAlone       float64 `json:"spin_alone_ns" how:"lock.Spin, Lock and Unlock, alone"`
	SpinHandoff     float64 `json:"spin_handoff_ns" how:"time from Unlock to the next holder when two Ps take turns"`
	RefillObj       float64 `json:"refill_object_ns" how:"objects out of slabs into sheaves, slabs made of populated pages included"`
	FlushObj        float64 `json:"flush_object_ns" how:"kfree_bulk: objects back into slabs, empty ones returned"`
	Handover        float64 `json:"handover_sheaf_ns" how:"time for a sheaf handed over whole, the sampled check included"`
	PageBlock       float64 `json:"page_block_ns" how:"a slab's pages (order 3) through zone lock and lists, a pair"`
	Pace            float64 `json:"pace_ns" how:"the service's sleep of 200 µs as it is slept here"`
	FreeBulk        float64 `json:"free_bulk_ns" how:"FreeBulk of an object, depot with room"`
	AllocOnly       float64 `json:"alloc_ns" how:"Alloc of an object from a filled depot"`
	NewPage         float64 `json:"new_page_ns" how:"a page of a new slab: its memory from the system, and its part of zone lock and lists"`
	Slice           float64 `json:"slice_ns" how:"how long a thread keeps its processor where others want it: three for each processor, spinning"`
	SheafCap        float64 `json:"sheaf_objects" how:"objects of 64 bytes in a sheaf"`
}

// Facts of the code, not of the machine.
const (
	objectSize  = 64
	slabBytes   = 32 << 10
	perSlab     = slabBytes / objectSize
	pageBytes   = 4096
	slabOrder   = 3
	slabPages   = 1 << slabOrder
	sectionPage = 128       // page's section: pages that get their metadata at once
	slabBatch   = 4         // and its batch of a slab's order: blocks for one hold of the zone lock
	pageBatch   = 32        // and of single pages
	depotSize   = 4 << 20   // slab's depotBytes
	depotShare  = 2 << 20   // and depotShare, for each P
	missFor     = 100e6     // and missFor
	groupPs     = 16        // and groupPs
	gatherBytes = 256 << 10 // and gatherBytes
	helpOwn     = 2 << 20   // and helpOwn
	helpTakes   = 4         // and helpSheaves
	ripeMost    = 64        // and ripeMost
	drainEvery  = 10e6      // and drainFirst
	quantum     = 10e6      // Go's scheduler preempts a goroutine after that long
	starving    = 1e6       // sync.Mutex hands over directly after that long
)

// Assumption is a figure that one machine with two processors can't give.
type Assumption struct {
	Name string  `json:"name"`
	Low  float64 `json:"low"`
	Mid  float64 `json:"mid"`
	High float64 `json:"high"`
	Why  string  `json:"why"`
}

// Assume lists the model's assumptions for these parameters.
func (p *Params) Assume() []Assumption {
	d := max(p.MembarrierPeer-p.MembarrierAlone, 1)
	return []Assumption{
		{"ipi_send_ns", d / 20, d / 4, d, "each further running processor's share of a membarrier: sent in turn, awaited together (low), or an exit of the virtual machine for each (high)"},
		{"line_far", 1, 1.5, 3, "a line from another part of a large machine, as a multiple of line_ns"},
	}
}

func (p *Params) assumed(name string) Assumption {
	for _, a := range p.Assume() {
		if a.Name == name {
			return a
		}
	}
	panic("quiesce: predict: no assumption is called " + name)
}

// Named is one parameter for a table.
type Named struct {
	Name  string
	Value float64
	How   string
}

// List returns the parameters in order.
func (p *Params) List() (all []Named) {
	v := reflect.ValueOf(*p)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		all = append(all, Named{f.Tag.Get("json"), v.Field(i).Float(), f.Tag.Get("how")})
	}
	return all
}

// Check refuses parameters that no measurement gives.
func (p *Params) Check() error {
	for _, n := range p.List() {
		if !(n.Value >= 0 && n.Value < 1e9) {
			return fmt.Errorf("predict: parameter %s is %v", n.Name, n.Value)
		}
	}
	if p.SheafCap < 1 || p.Pair <= 0 || p.Slice <= 0 {
		return fmt.Errorf("predict: %v objects in a sheaf, %v ns to a pair, %v to a slice", p.SheafCap, p.Pair, p.Slice)
	}
	return nil
}

// machine is what a saved calibration belongs to.
func machine() string {
	return fmt.Sprintf("%s/%s %s %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.NumCPU())
}
