package slab

import (
	"reflect"
	"unsafe"
)

// Link is a link to an off-heap object that may be copied: it is a plain word,
// where a [Pointer] is an atomic one. It is for values that are copied as a whole
// and do not change once they are found, such as those of rcuhash. The zero Link
// is nil. Two Links are equal if they are links to the same object.
//
// A Link holds an address that the garbage collector does not follow, and no
// operation on it is atomic. Publish what has it by a release, and load that by an
// acquire, as maps and a Pointer do: then the object's content is seen too.
// A copy of a Link does not keep its object: the object lives until it is freed,
// and, freed by FreeRCU or KfreeRCU, until the sections of that moment have
// ended.
//
// Context: any.
type Link[T any] struct {
	_ [0]*T // no conversion to a Link of another type
	p uintptr
}

// MakeLink returns a link to the object p, which must be nil or point to memory
// of this package, never to the Go heap. Builds with -tags poison or -tags
// lockdep report any other.
func MakeLink[T any](p *T) Link[T] {
	if linksChecked {
		checkLink(unsafe.Pointer(p), reflect.TypeFor[T](), "slab.MakeLink[%v]")
	}
	return Link[T]{p: uintptr(unsafe.Pointer(p))}
}

// Get returns the pointer to the object, or nil. It is valid as long as the
// object is; to have a Link is no proof of that. A reader who found the Link in a
// section may use the object until that section ends.
func (l Link[T]) Get() *T { return address[T](l.p) }

// IsNil reports whether the link leads nowhere.
func (l Link[T]) IsNil() bool { return l.p == 0 }
