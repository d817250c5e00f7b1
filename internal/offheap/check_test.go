package offheap

import (
	"reflect"
	"strings"
	"testing"
)

// The error is all that a user sees: the whole of it is checked here, its
// parts by package slab's tests.
func TestTheErrorNamesTypeFieldAndRemedy(t *testing.T) {
	type session struct {
		ID   uint64
		Name string
	}
	const remedy = "; use an array such as [N]byte, or an off-heap object (see package slab)"
	for _, c := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[[]byte](), "[]uint8 holds a Go pointer" + remedy},
		{reflect.TypeFor[session](), "offheap.session holds a Go pointer: .Name (string)" + remedy},
		{reflect.TypeFor[[2]*int](), "[2]*int holds a Go pointer: [] (*int)" + remedy},
	} {
		err := Check(c.typ)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v:\n got %v\nwant %s", c.typ, err, c.want)
		} else if strings.Contains(err.Error(), "  ") {
			t.Errorf("two blanks in %q", err)
		}
	}
}
