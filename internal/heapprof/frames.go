package heapprof

import (
	"cmp"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Frames returns the stack from the frame on that called this library, innermost
// first, or all of it if it is that of a goroutine of the library's own. It is empty
// for the Site that stands for too many.
func (s *Site) Frames() (all []runtime.Frame) {
	if len(s.PCs) == 0 {
		return nil
	}
	frames := runtime.CallersFrames(s.PCs)
	skipped := 0
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function == "" {
			continue
		}
		if skipped == len(all) && isOurs(f.Function) {
			skipped++
		}
		all = append(all, f)
	}
	if skipped < len(all) {
		all = all[skipped:]
	}
	return all
}

// ours are the packages whose frames are left out where they are innermost.
var ours = sync.OnceValue(func() (prefixes []string) {
	module, _ := strings.CutSuffix(reflect.TypeFor[Site]().PkgPath(), "internal/heapprof")
	for _, pkg := range []string{"cache", "internal/", "lpm", "page", "rcu", "rcuhash", "rculist", "slab"} {
		if !strings.HasSuffix(pkg, "/") {
			pkg += "."
		}
		prefixes = append(prefixes, module+pkg)
	}
	return append(prefixes, "runtime.")
})

func isOurs(function string) bool {
	for _, p := range ours() {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}

// Holder is a place in the program, as function, file and line, and how many objects
// it holds by the profile's estimate.
type Holder struct {
	Place   string
	Objects int64
}

// Holders returns the places that hold the most, up to so many. Stacks that called
// this library at one place count as one. What nobody is known for is left out, and so is
// what a goroutine of the library took for others.
func Holders(uses []Use, most int) (all []Holder) {
	by := make(map[string]int64)
	for _, u := range uses {
		if u.Site == nil || u.InUse <= 0 {
			continue
		}
		if frames := u.Site.Frames(); len(frames) > 0 && !isOurs(frames[0].Function) {
			by[Place(frames[0])] += u.InUse
		}
	}
	for place, n := range by {
		all = append(all, Holder{place, n})
	}
	slices.SortFunc(all, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(b.Objects, a.Objects), cmp.Compare(a.Place, b.Place))
	})
	return all[:min(len(all), most)]
}

// Place names a place in the program.
func Place(f runtime.Frame) string { return f.Function + " " + f.File + ":" + strconv.Itoa(f.Line) }
