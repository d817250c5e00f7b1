package linear

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// explain lists, by time of call, the operations of the keys whose histories are
// not linearizable. Those that the longest order found has are numbered.
func explain(history []porcupine.Operation) string {
	var s strings.Builder
	for _, part := range mapModel.Partition(history) {
		sort.Slice(part, func(i, j int) bool { return part[i].Call < part[j].Call })
		one := mapModel
		one.Partition = nil
		result, info := porcupine.CheckOperationsVerbose(one, part, 20*time.Second)
		if result != porcupine.Illegal {
			continue
		}
		var longest []porcupine.Operation
		for _, orders := range info.PartialLinearizationsOperations() {
			for _, o := range orders {
				if len(o) > len(longest) {
					longest = o
				}
			}
		}
		place := map[porcupine.Operation]int{}
		for i, op := range longest {
			place[op] = i + 1
		}
		for _, op := range part {
			n := "-"
			if place[op] > 0 {
				n = fmt.Sprint(place[op])
			}
			fmt.Fprintf(&s, "%4s %9d to %9d ns, client %d: %s\n", n, op.Call, op.Return, op.ClientId, mapModel.DescribeOperation(op.Input, op.Output))
		}
	}
	return s.String()
}
