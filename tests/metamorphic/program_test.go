package metamorphic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

const threads = 3

// op is one operation. doc.go has the form of its text.
type op struct {
	thread int // -1: alone
	verb   string
	kind   string
	a, b   int
}

func (o op) String() string {
	t := "*"
	if o.thread >= 0 {
		t = strconv.Itoa(o.thread)
	}
	return fmt.Sprintf("%s %s %s %d %d", t, o.verb, o.kind, o.a, o.b)
}

type program []op

func (p program) String() string {
	var b strings.Builder
	for _, o := range p {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

func parseProgram(text string) (p program, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		var o op
		var t string
		if _, err := fmt.Sscan(line, &t, &o.verb, &o.kind, &o.a, &o.b); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if o.thread = -1; t != "*" {
			if o.thread, err = strconv.Atoi(t); err != nil || o.thread < 0 || o.thread >= threads {
				return nil, fmt.Errorf("%q: no thread %s", line, t)
			}
		}
		p = append(p, o)
	}
	return p, nil
}

// weights of the verbs that generate draws.
var threadVerbs = map[string]int{
	"new": 24, "bulk": 6, "free": 8, "freebulk": 4, "freercu": 10, "call": 3, "replace": 8, "write": 4, "read": 8,
	"lock": 5, "unlock": 4, "look": 8, "peek": 8, "cookie": 2, "poll": 2,
	"put": 14, "delete": 7, "get": 7, "find": 4, "glance": 4, "badfree": 1, "badsize": 1,
}

var aloneVerbs = map[string]int{
	"quiet": 3, "barrier": 5, "synchronize": 2, "shrink": 3, "close": 2, "len": 3, "range": 3, "renew": 1, "procs": 3, "useclosed": 1,
}

// bag has each verb as often as its weight says, in the order of names so
// that a seed makes the same program each time.
func bag(weights map[string]int, order []string) (b []string) {
	for _, v := range order {
		for range weights[v] {
			b = append(b, v)
		}
	}
	return b
}

// generate makes a program of n operations.
func generate(seed uint64, n int) program {
	r := rand.New(rand.NewPCG(seed, 0x6d6574616d6f7270))
	mine, alone := bag(threadVerbs, slices.Sorted(maps.Keys(threadVerbs))), bag(aloneVerbs, slices.Sorted(maps.Keys(aloneVerbs)))
	var p program
	for len(p) < n {
		if r.IntN(40) == 0 {
			v := alone[r.IntN(len(alone))]
			p = append(p, op{-1, v, kindFor(r, v), r.IntN(1000), r.IntN(8)})
			continue
		}
		// A thread does several operations with one kind and near slots, so
		// that they meet.
		t, v := r.IntN(threads), mine[r.IntN(len(mine))]
		k, at := kindFor(r, v), r.IntN([]int{8, 60, 3000}[r.IntN(3)])
		for range 1 + r.IntN(4) {
			p = append(p, op{t, v, k, at + r.IntN(4), r.IntN(8)})
			if v = mine[r.IntN(len(mine))]; mapVerb(v) != mapVerb(p[len(p)-1].verb) {
				k = kindFor(r, v)
			}
		}
	}
	return p[:n]
}

func mapVerb(v string) bool {
	switch v {
	case "put", "delete", "get", "find", "glance", "len", "range", "renew":
		return true
	}
	return false
}

func kindFor(r *rand.Rand, verb string) string {
	switch {
	case mapVerb(verb):
		return []string{"words", "numbers"}[r.IntN(2)]
	case verb == "lock", verb == "unlock", verb == "cookie", verb == "poll", verb == "badsize",
		verb == "quiet", verb == "barrier", verb == "synchronize", verb == "procs", verb == "useclosed":
		return "-"
	case verb == "look", verb == "peek":
		return []string{"cache64", "cache272", "kmalloc700"}[r.IntN(3)]
	case verb == "close":
		return cacheNames[r.IntN(len(cacheNames))]
	}
	return kindNames[r.IntN(len(kindNames))]
}
