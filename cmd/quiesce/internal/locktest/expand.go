package locktest

import (
	"fmt"
	"strings"
)

// expand makes the rows of both kinds of interrupts, and of every order of the
// events.
func expand(rows []row) (all []row) {
	for _, r := range rows {
		kinds := []bool{r.soft}
		if strings.Contains(r.name, "%s") {
			kinds = []bool{false, true}
		}
		orders := [][]int{nil}
		if r.permute {
			orders = permutations(strings.Count(r.script, ";") + 1)
		}
		for _, order := range orders {
			for _, soft := range kinds {
				one := r
				one.soft, one.order = soft, order
				if len(kinds) > 1 {
					one.name = fmt.Sprintf(r.name, map[bool]string{false: "hard", true: "soft"}[soft])
				}
				if r.last != nil {
					one.kind = r.last[order[len(order)-1]]
				}
				if order != nil {
					one.name += "/"
					for _, i := range order {
						one.name += string(rune('1' + i))
					}
				}
				all = append(all, one)
			}
		}
	}
	return all
}

// permutations are all orders of n things, the first ones first.
func permutations(n int) (all [][]int) {
	var grow func(done []int)
	grow = func(done []int) {
		if len(done) == n {
			all = append(all, append([]int(nil), done...))
			return
		}
	next:
		for i := range n {
			for _, d := range done {
				if d == i {
					continue next
				}
			}
			grow(append(done, i))
		}
	}
	grow(nil)
	return all
}
