package tinylfu

// Links is what the policy keeps in an entry: 16 bytes, which the cache places
// in the entry's node. The zero value is that of an entry the policy does not
// hold. All fields belong to the policy.
type Links struct {
	next, prev uint32 // towards the newest, towards the oldest; 0: none
	hash       uint32 // the lowest bit is the cache's mark
	where      uint32 // the list in the upper two bits, used in the next, the size in the others
}

// MaxSize is the largest size of an entry, in the caller's unit.
const MaxSize = usedBit - 1

const (
	listShift = 30
	// usedBit says that there was a request for an entry of the main space since it became
	// the newest of its list.
	usedBit = 1 << 29
)

// Lists. An entry is in exactly one of the last three; where says in which.
const (
	none = iota
	window
	probation
	protected
	numLists
)

func (l *Links) list() uint32 { return l.where >> listShift }
func (l *Links) used() bool   { return l.where&usedBit != 0 }
func (l *Links) size() uint64 { return uint64(l.where & MaxSize) }

func (l *Links) set(list, size uint32) { l.where = list<<listShift | size }

// markBit of a hash is not part of it.
const markBit = 1

// NewLinks returns the Links of an entry that the policy does not hold yet, whose
// key has the hash, of which the lowest bit is not looked at. That is what Enter is
// told later; until then, and as long as the entry is there, readers may ask for it,
// and for the mark, which means what the cache wants.
func NewLinks(hash uint32, mark bool) Links {
	l := Links{hash: hash &^ markBit}
	if mark {
		l.hash |= markBit
	}
	return l
}

// Hash returns the hash of the entry's key, with 0 for its lowest bit. It does not
// change while the entry is held.
func (l *Links) Hash() uint32 { return l.hash &^ markBit }

// Marked reports whether the entry was given the mark. That does not change.
func (l *Links) Marked() bool { return l.hash&markBit != 0 }

// setHash sets the hash, unless it is there: readers that ask for it would race.
func (l *Links) setHash(hash uint32) {
	if l.Hash() != hash {
		l.hash = hash | l.hash&markBit
	}
}

// Held reports whether the policy holds the entry.
func (l *Links) Held() bool { return l.where>>listShift != none }

// Size returns the size that the policy counts for the entry.
func (l *Links) Size() uint32 { return l.where & MaxSize }

// Entries finds an entry's fields by its reference. The pointer is used before
// the next call, and never kept. Reference 0 stands for no entry.
type Entries interface {
	Links(ref uint32) *Links
}

// list is a queue in order of use. Its entries' Links hold the chain.
type list struct {
	oldest, newest uint32
	len            int
	size           uint64 // the sum of its entries'
}

// push makes an entry the newest of a list that it is not in; its size is set.
func (p *core[E]) push(ref uint32, l *Links, to uint32) {
	q := &p.lists[to]
	l.set(to, l.Size())
	l.next, l.prev = 0, q.newest
	if q.newest != 0 {
		p.entries.Links(q.newest).next = ref
	} else {
		q.oldest = ref
	}
	q.newest = ref
	q.len++
	q.size += l.size()
}

// pushOldest makes an entry the oldest of a list that it is not in.
func (p *core[E]) pushOldest(ref uint32, l *Links, to uint32) {
	q := &p.lists[to]
	l.set(to, l.Size())
	l.next, l.prev = q.oldest, 0
	if q.oldest != 0 {
		p.entries.Links(q.oldest).prev = ref
	} else {
		q.newest = ref
	}
	q.oldest = ref
	q.len++
	q.size += l.size()
}

// unlink takes an entry out of its list.
func (p *core[E]) unlink(l *Links) {
	q := &p.lists[l.list()]
	if l.prev != 0 {
		p.entries.Links(l.prev).next = l.next
	} else {
		q.oldest = l.next
	}
	if l.next != 0 {
		p.entries.Links(l.next).prev = l.prev
	} else {
		q.newest = l.prev
	}
	q.len--
	q.size -= l.size()
}

// move makes an entry the newest of a list.
func (p *core[E]) move(ref uint32, l *Links, to uint32) {
	if l.list() == to && l.next == 0 {
		return
	}
	p.unlink(l)
	p.push(ref, l, to)
}
