package proto

import "bytes"

// Limits of the protocol.
const (
	MaxKey    = 250  // bytes of a key
	MaxLine   = 2048 // bytes of a line that is no get or gets
	MaxOpaque = 31   // bytes of an opaque token, without its O
	MaxLength = 1<<31 - 3

	maxWords     = 23 // of a line that is no list of keys
	maxMetaWords = 19
)

// Op is what a request asks for.
type Op uint8

// The commands. Reply is a line that has its answer already.
const (
	Reply Op = iota
	Get
	Store
	Delta
	Touch
	Delete
	FlushAll
	Stats
	Version
	Verbosity
	MemLimit
	Shutdown
	Quit
	MetaGet
	MetaSet
	MetaDelete
	MetaDelta
	MetaNoop
	MetaDebug
)

// Mode is how a Store or a MetaSet treats what is there.
type Mode uint8

// The modes.
const (
	Set Mode = iota
	Add
	Replace
	Append
	Prepend
	CAS
)

// A Request is a parsed line. The zero value is ready for Parse.
type Request struct {
	Op      Op
	Mode    Mode   // Store, MetaSet
	Key     []byte // of all but Get
	Keys    []byte // Get: one or more keys, for NextKey
	WithCAS bool   // Get: gets and gats
	Touches bool   // Get: gat and gats
	Decr    bool   // Delta, MetaDelta
	NoReply bool
	Flags   uint32 // Store, MetaSet: the client's
	Exptime int64  // as sent: see package item
	Length  int    // Store, MetaSet: bytes of the data, without its line end
	CAS     uint64 // Store: the number to compare
	Delta   uint64
	Level   uint32 // Verbosity; MemLimit in MiB
	Delayed bool   // FlushAll: Exptime is set
	Args    [][]byte
	Meta    Meta

	Text    string // Reply: the answer, without its line end
	Swallow int    // Reply: bytes that follow the line and are data

	words   [maxWords][]byte
	n       int
	rest    []byte // of the line, after the last word
	decoded [MaxKey]byte
}

// The answers that more than one command gives.
const (
	replyError     = "ERROR"
	replyFormat    = "CLIENT_ERROR bad command line format"
	replyExptime   = "CLIENT_ERROR invalid exptime argument"
	replyBadToken  = "CLIENT_ERROR bad token in command line format"
	replyBadFlags  = "CLIENT_ERROR invalid or duplicate flag"
	replyLongFlags = "CLIENT_ERROR options flags too long"
	replyOpaque    = "CLIENT_ERROR opaque token too long"
)

func (r *Request) answer(text string) {
	r.Op, r.Text = Reply, text
}

// split finds the words of line, at most maxWords.
func (r *Request) split(line []byte) {
	r.n = 0
	for r.n < maxWords {
		for len(line) > 0 && line[0] == ' ' {
			line = line[1:]
		}
		if len(line) == 0 {
			break
		}
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		r.words[r.n] = line[:end]
		r.n++
		line = line[end:]
	}
	r.rest = line
}

// NextKey returns the first key of keys and those that follow it, or nil.
func NextKey(keys []byte) (key, rest []byte) {
	for len(keys) > 0 && keys[0] == ' ' {
		keys = keys[1:]
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if end := bytes.IndexByte(keys, ' '); end >= 0 {
		return keys[:end], keys[end:]
	}
	return keys, nil
}

// keysFit reports whether no key is too long.
func keysFit(keys []byte) bool {
	for len(keys) > MaxKey {
		var key []byte
		if key, keys = NextKey(keys); len(key) > MaxKey {
			return false
		}
	}
	return true
}

// isNoreply sets NoReply if the last word asks for it.
func (r *Request) isNoreply() bool {
	r.NoReply = string(r.words[r.n-1]) == "noreply"
	return r.NoReply
}

// Parse reads a line, without its line end.
func (r *Request) Parse(line []byte) {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	r.Op, r.Mode, r.Text, r.Swallow = Reply, Set, "", 0
	r.NoReply, r.WithCAS, r.Touches, r.Decr, r.Delayed = false, false, false, false, false
	r.Key, r.Keys, r.Args = nil, nil, nil
	r.Flags, r.Exptime, r.Length, r.CAS, r.Delta, r.Level = 0, 0, 0, 0, 0, 0

	verb, keys := NextKey(line)
	switch string(verb) {
	case "get":
		r.get(keys, false)
		return
	case "gets":
		r.get(keys, true)
		return
	}
	r.split(line)
	switch string(verb) {
	case "gat":
		r.gat(keys, false)
	case "gats":
		r.gat(keys, true)
	case "bget": // an old name
		r.get(keys, false)
	case "set":
		r.store(Set)
	case "add":
		r.store(Add)
	case "replace":
		r.store(Replace)
	case "append":
		r.store(Append)
	case "prepend":
		r.store(Prepend)
	case "cas":
		r.store(CAS)
	case "incr":
		r.delta(false)
	case "decr":
		r.delta(true)
	case "touch":
		r.touch()
	case "delete":
		r.delete()
	case "mg":
		r.meta(MetaGet)
	case "ms":
		r.meta(MetaSet)
	case "md":
		r.meta(MetaDelete)
	case "ma":
		r.meta(MetaDelta)
	case "me":
		r.metaDebug()
	case "mn":
		r.Op = MetaNoop
	default:
		r.admin(verb)
	}
}

func (r *Request) get(keys []byte, withCAS bool) {
	first, _ := NextKey(keys)
	switch {
	case len(first) == 0:
		r.answer(replyError)
	case !keysFit(keys):
		r.answer(replyFormat)
	default:
		r.Op, r.Keys, r.WithCAS = Get, keys, withCAS
	}
}

func (r *Request) gat(keys []byte, withCAS bool) {
	time, keys := NextKey(keys)
	if len(time) == 0 {
		r.answer(replyError)
		return
	}
	var ok bool
	if r.Exptime, ok = int64Of(time); !ok {
		r.answer(replyExptime)
		return
	}
	if !keysFit(keys) {
		r.answer(replyFormat)
		return
	}
	r.Op, r.Keys, r.WithCAS, r.Touches = Get, keys, withCAS, true
}

// store reads: command key flags exptime bytes [cas] [noreply]
func (r *Request) store(m Mode) {
	least := 5
	if m == CAS {
		least = 6
	}
	if r.n != least && r.n != least+1 {
		r.answer(replyError)
		return
	}
	r.isNoreply()
	var ok [4]bool
	var length int64
	r.Flags, ok[0] = uint32Of(r.words[2])
	r.Exptime, ok[1] = int64Of(r.words[3])
	length, ok[2] = int64Of(r.words[4])
	ok[3] = true
	if m == CAS {
		r.CAS, ok[3] = Uint64(r.words[5])
	}
	if len(r.words[1]) > MaxKey || ok != [4]bool{true, true, true, true} || length < 0 || length > MaxLength {
		r.answer(replyFormat)
		return
	}
	r.Op, r.Mode, r.Key, r.Length = Store, m, r.words[1], int(length)
}

// keyAndNumber checks a command with a key, a number and perhaps noreply. If it is
// wrong, it has the answer, and returns false.
func (r *Request) keyAndNumber() bool {
	if r.n != 3 && r.n != 4 {
		r.answer(replyError)
		return false
	}
	r.isNoreply()
	if len(r.words[1]) > MaxKey {
		r.answer(replyFormat)
		return false
	}
	return true
}

func (r *Request) delta(decr bool) {
	if !r.keyAndNumber() {
		return
	}
	var ok bool
	if r.Delta, ok = Uint64(r.words[2]); !ok {
		r.answer("CLIENT_ERROR invalid numeric delta argument")
		return
	}
	r.Op, r.Decr, r.Key = Delta, decr, r.words[1]
}

func (r *Request) touch() {
	if !r.keyAndNumber() {
		return
	}
	var ok bool
	if r.Exptime, ok = int64Of(r.words[2]); !ok {
		r.answer(replyExptime)
		return
	}
	r.Op, r.Key = Touch, r.words[1]
}

// delete reads: delete key [0] [noreply], the 0 being a time that clients of old
// servers send.
func (r *Request) delete() {
	if r.n < 2 || r.n > 4 {
		r.answer(replyError)
		return
	}
	if r.n > 2 {
		zero, quiet := string(r.words[2]) == "0", r.isNoreply()
		if !(r.n == 3 && (zero || quiet) || r.n == 4 && zero && quiet) {
			r.answer("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]")
			return
		}
	}
	if len(r.words[1]) > MaxKey {
		r.answer(replyFormat)
		return
	}
	r.Op, r.Key = Delete, r.words[1]
}

// admin reads commands that are about the server.
func (r *Request) admin(verb []byte) {
	switch string(verb) {
	case "flush_all":
		if r.n > 3 {
			r.answer(replyError)
			return
		}
		quiet := r.isNoreply()
		if r.n == 3 || r.n == 2 && !quiet {
			var ok bool
			if r.Exptime, ok = int64Of(r.words[1]); !ok {
				r.answer(replyExptime)
				return
			}
			r.Delayed = r.Exptime > 0
		}
		r.Op = FlushAll
	case "stats":
		r.Op, r.Args = Stats, r.words[1:r.n]
	case "version":
		r.Op = Version
	case "quit":
		r.Op = Quit
	case "shutdown":
		r.Op, r.Args = Shutdown, r.words[1:r.n]
	case "verbosity", "cache_memlimit":
		if r.n != 2 && r.n != 3 {
			r.answer(replyError)
			return
		}
		r.isNoreply()
		var ok bool
		r.Level, ok = uint32Of(r.words[1])
		switch {
		case string(verb) == "verbosity" && !ok:
			r.answer(replyFormat)
		case !ok:
			r.answer(replyError)
		case string(verb) == "verbosity":
			r.Op = Verbosity
		default:
			r.Op = MemLimit
		}
	default:
		// A browser that was led here must not go on to say something that is a command.
		if r.n > 0 && bytes.HasPrefix(r.words[r.n-1], []byte("HTTP/")) {
			r.Op = Quit
			return
		}
		r.answer(replyError)
	}
}
