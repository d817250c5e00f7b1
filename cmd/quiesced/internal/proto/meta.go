package proto

import "encoding/base64"

// Meta is what the flags of a meta command say.
type Meta struct {
	// Flags are the words after the key (after the length, for ms), in order: a
	// letter and its token.
	Flags [][]byte

	Value     bool // v
	NoUpdate  bool // u
	Stale     bool // I
	Remove    bool // x: md drops the value and keeps the item
	BinaryKey bool // b: Key is decoded
	Lock      bool // N, T, R, l or h: the item is changed, or its history asked for

	HasCAS, HasNewCAS bool
	CAS, NewCAS       uint64 // C, E

	HasTTL, Vivify, Recache    bool
	TTL, VivifyTTL, RecacheTTL int64 // T, N, R, as sent
	Delta, Initial             uint64
	mode                       byte
	hasOpaqueTooLong           bool
}

// meta reads: command key [length] flag...
func (r *Request) meta(op Op) {
	r.Meta = Meta{Delta: 1}
	m := &r.Meta
	first := 2
	switch {
	case r.n < 2:
		r.answer(replyError)
		return
	case len(r.words[1]) > MaxKey || op == MetaSet && r.n == 2:
		r.answer(replyFormat)
		return
	case r.n > maxMetaWords && op == MetaGet:
		r.answer("CLIENT_ERROR options flags are too long")
		return
	case r.n > maxMetaWords:
		r.answer(replyLongFlags)
		return
	}
	r.Key = r.words[1]
	if op == MetaSet {
		first = 3
		length, ok := int64Of(r.words[2])
		if !ok || length < 0 || length > MaxLength {
			r.answer(replyFormat)
			return
		}
		r.Length = int(length)
		r.Swallow = r.Length + 2 // if there is an error
	}
	m.Flags = r.words[first:r.n]
	if err := r.metaFlags(); err != "" {
		if op == MetaDelete || op == MetaDelta {
			err = replyBadFlags
		}
		r.NoReply = false
		r.answer(err)
		return
	}
	if err := r.metaMode(op); err != "" {
		r.NoReply = false
		r.answer(err)
		return
	}
	if m.hasOpaqueTooLong {
		r.NoReply = false
		r.answer(replyOpaque)
		return
	}
	r.Op, r.Swallow = op, 0
}

// metaFlags reads the flags, all of them, and returns the last error.
func (r *Request) metaFlags() (failed string) {
	m := &r.Meta
	var seen [2]uint64
	number := func(ok bool, text string) {
		if !ok {
			failed = text
		}
	}
	for _, w := range m.Flags {
		c, token := w[0], w[1:]
		if c >= 127 || seen[c/64]&(1<<(c%64)) != 0 {
			return "CLIENT_ERROR duplicate flag"
		}
		seen[c/64] |= 1 << (c % 64)
		var ok bool
		switch c {
		case 'b':
			number(r.decodeKey(), "CLIENT_ERROR error decoding key")
			m.BinaryKey = true
		case 'N':
			m.VivifyTTL, ok = int64Of(token)
			m.Vivify, m.Lock = true, true
			number(ok, replyBadToken)
		case 'T':
			m.TTL, ok = int64Of(token)
			m.HasTTL, m.Lock = true, true
			number(ok, replyBadToken)
		case 'R':
			m.RecacheTTL, ok = int64Of(token)
			m.Recache, m.Lock = true, true
			number(ok, replyBadToken)
		case 'l', 'h':
			m.Lock = true
		case 'O':
			m.hasOpaqueTooLong = len(token) > MaxOpaque
		case 'P', 'L', 'k', 's', 't', 'c', 'f':
		case 'v':
			m.Value = true
		case 'u':
			m.NoUpdate = true
		case 'q':
			r.NoReply = true
		case 'x':
			m.Remove = true
		case 'F':
			r.Flags, ok = uint32Of(token)
			number(ok, replyFormat)
		case 'C':
			m.CAS, ok = Uint64(token)
			m.HasCAS = true
			number(ok, replyBadToken)
		case 'E':
			m.NewCAS, ok = Uint64(token)
			m.HasNewCAS = true
			number(ok, replyBadToken)
		case 'M':
			number(len(token) == 1, "CLIENT_ERROR incorrect length for M token")
			if len(token) == 1 {
				m.mode = token[0]
			}
		case 'J':
			m.Initial, ok = Uint64(token)
			number(ok, "CLIENT_ERROR invalid numeric initial value")
		case 'D':
			m.Delta, ok = Uint64(token)
			number(ok, "CLIENT_ERROR invalid numeric delta value")
		case 'I':
			m.Stale = true
		default:
			return "CLIENT_ERROR invalid flag"
		}
	}
	return failed
}

// metaMode reads the token of M.
func (r *Request) metaMode(op Op) (failed string) {
	mode := r.Meta.mode
	switch op {
	case MetaSet:
		switch mode {
		case 0, 'S', 's':
			r.Mode = Set
		case 'E', 'e':
			r.Mode = Add
		case 'A', 'a':
			r.Mode = Append
		case 'P', 'p':
			r.Mode = Prepend
		case 'R', 'r':
			r.Mode = Replace
		default:
			return "CLIENT_ERROR invalid mode for ms M token"
		}
		if r.Meta.HasCAS && (r.Mode == Set || r.Mode == Replace) {
			r.Mode = CAS
		}
	case MetaDelta:
		switch mode {
		case 0, 'I', 'i', '+':
		case 'D', 'd', '-':
			r.Decr = true
		default:
			return "CLIENT_ERROR invalid mode for ma M token"
		}
	}
	return ""
}

func (r *Request) metaDebug() {
	if r.n < 2 || len(r.words[1]) > MaxKey {
		r.answer(replyFormat)
		return
	}
	r.Meta = Meta{}
	r.Key = r.words[1]
	if r.n >= 3 && string(r.words[2]) == "b" {
		if !r.decodeKey() {
			r.answer(replyFormat)
			return
		}
		r.Meta.BinaryKey = true
	}
	r.Op = MetaDebug
}

// decodeKey replaces a key in base64 by what it stands for.
func (r *Request) decodeKey() bool {
	n, err := base64.StdEncoding.Decode(r.decoded[:], r.Key)
	r.Key = r.decoded[:n]
	return err == nil && n > 0
}
