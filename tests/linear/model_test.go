package linear

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

type kind int

const (
	get kind = iota
	put
	del
	absent  // PutIfAbsent
	swap    // Swap
	load    // LoadAndDelete
	compute // Compute that replaces
	remove  // Compute that removes
)

// call is an operation's input.
type call struct {
	kind  kind
	key   int
	value uint64 // what it stores; never 0
}

// result is its output. value is what get found, 0 for nil; old what the others
// found, or Compute's function last; ok and stored what they returned.
type result struct {
	value, old uint64
	ok, stored bool
}

// mapModel is one key of a map; the state is its value, 0 for none.
var mapModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(call).key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(uint64), input.(call), output.(result)
		switch in.kind {
		case get:
			return out.value == s, s
		case put:
			if !out.ok {
				return true, s
			}
			return true, in.value
		case absent:
			switch {
			case !out.ok:
				return !out.stored, s
			case out.stored:
				return s == 0, in.value
			}
			return s != 0, s
		case swap:
			if !out.ok {
				return out.old == 0, s
			}
			return out.old == s, in.value
		case load:
			return out.old == s, uint64(0)
		case compute:
			if !out.ok {
				return true, s
			}
			return out.old == s, in.value
		case remove:
			return out.ok && out.old == s, uint64(0)
		default:
			return out.ok == (s != 0), uint64(0)
		}
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(call), output.(result)
		switch in.kind {
		case get:
			return fmt.Sprintf("Get(%d) = %d", in.key, out.value)
		case put:
			return fmt.Sprintf("Put(%d, %d) = %v", in.key, in.value, out.ok)
		case absent:
			return fmt.Sprintf("PutIfAbsent(%d, %d) = %v, %v", in.key, in.value, out.stored, out.ok)
		case swap:
			return fmt.Sprintf("Swap(%d, %d) = %d, %v", in.key, in.value, out.old, out.ok)
		case load:
			return fmt.Sprintf("LoadAndDelete(%d) = %d", in.key, out.old)
		case compute:
			return fmt.Sprintf("Compute(%d): %d, Replace %d = %v", in.key, out.old, in.value, out.ok)
		case remove:
			return fmt.Sprintf("Compute(%d): %d, Remove = %v", in.key, out.old, out.ok)
		default:
			return fmt.Sprintf("Delete(%d) = %v", in.key, out.ok)
		}
	},
	DescribeState: func(state any) string { return fmt.Sprint(state) },
}

// linearizable searches for an order of the operations. A search that takes
// too long decides nothing.
func linearizable(t *testing.T, history []porcupine.Operation) porcupine.CheckResult {
	t.Helper()
	return porcupine.CheckOperationsTimeout(mapModel, history, 20*time.Second)
}

// Histories that a correct map can't have are rejected, and the nearest that
// it can have are not.
func TestTheCheckerTellsBrokenHistoriesFromSoundOnes(t *testing.T) {
	op := func(client int, from, to int64, in call, out result) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Call: from, Output: out, Return: to}
	}
	put5 := op(0, 0, 10, call{put, 1, 5}, result{ok: true})
	// overlap has two operations at the same time, after the Put.
	overlap := func(in1 call, out1 result, in2 call, out2 result) []porcupine.Operation {
		return []porcupine.Operation{put5, op(0, 20, 40, in1, out1), op(1, 25, 45, in2, out2)}
	}
	slowPut6 := op(0, 20, 45, call{put, 1, 6}, result{ok: true})
	get5 := op(1, 40, 50, call{get, 1, 0}, result{value: 5})
	for _, tc := range []struct {
		what    string
		sound   bool
		history []porcupine.Operation
	}{
		{"a read of the old value after the replacement returned", false, []porcupine.Operation{put5, op(0, 20, 30, call{put, 1, 6}, result{ok: true}), get5}},
		{"a read of the old value during the replacement", true, []porcupine.Operation{put5, slowPut6, get5}},
		{"neither the old nor the new value during a replacement", false, []porcupine.Operation{put5, slowPut6, op(1, 40, 50, call{get, 1, 0}, result{})}},
		{"the new value and then the old one", false, []porcupine.Operation{
			put5,
			op(0, 20, 90, call{put, 1, 6}, result{ok: true}),
			op(1, 30, 40, call{get, 1, 0}, result{value: 6}),
			op(2, 50, 60, call{get, 1, 0}, result{value: 5}),
		}},
		{"a refused Put has an effect", false, []porcupine.Operation{
			op(0, 0, 10, call{put, 1, 5}, result{ok: false}),
			op(1, 20, 30, call{get, 1, 0}, result{value: 5}),
		}},
		{"a refused Put has none", true, []porcupine.Operation{put5, op(0, 20, 30, call{put, 1, 6}, result{ok: false}), get5}},
		{"one value is deleted twice", false, overlap(call{del, 1, 0}, result{ok: true}, call{del, 1, 0}, result{ok: true})},
		{"PutIfAbsent of a key that is there", false, []porcupine.Operation{put5, op(0, 20, 30, call{absent, 1, 6}, result{ok: true, stored: true})}},
		{"PutIfAbsent finds the key during another operation", true, []porcupine.Operation{slowPut6, op(1, 40, 50, call{absent, 1, 5}, result{ok: true})}},
		{"two Swaps get the same value", false, overlap(call{swap, 1, 6}, result{old: 5, ok: true}, call{swap, 1, 7}, result{old: 5, ok: true})},
		{"a value is loaded and deleted twice", false, overlap(call{load, 1, 0}, result{old: 5}, call{load, 1, 0}, result{old: 5})},
		{"Compute of a value that was replaced before", false, []porcupine.Operation{
			put5,
			op(0, 20, 30, call{put, 1, 6}, result{ok: true}),
			op(1, 40, 50, call{compute, 1, 7}, result{old: 5, ok: true}),
		}},
		{"Compute removes what it did not see", false, []porcupine.Operation{put5, op(1, 40, 50, call{remove, 1, 0}, result{ok: true})}},
		{"Computes that overlap, in an order", true, overlap(call{compute, 1, 6}, result{old: 7, ok: true}, call{compute, 1, 7}, result{old: 5, ok: true})},
		{"another key's value", false, []porcupine.Operation{
			put5,
			op(1, 20, 30, call{get, 2, 0}, result{value: 5}),
		}},
	} {
		want := porcupine.Illegal
		if tc.sound {
			want = porcupine.Ok
		}
		if got := linearizable(t, tc.history); got != want {
			t.Errorf("%s: %v, want %v", tc.what, got, want)
		}
	}
}
