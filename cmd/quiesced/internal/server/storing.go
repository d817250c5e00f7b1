package server

import (
	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/proto"
)

// store answers a command that data follow.
func (c *conn) store(line []byte) error {
	r := &c.req
	defer c.value.release(&c.srv.budget)
	if !c.srv.store.Fits(len(r.Key), r.Length, r.Flags) {
		c.counts[storeTooLarge]++
		return c.refuse(replyTooLarge)
	}
	total := r.Length + 2
	if len(c.in.b)-c.at < total {
		// What is read may take the line's place.
		c.line = append(c.line[:0], line...)
		r.Parse(c.line)
	}
	ok, err := c.readValue(total)
	if err != nil {
		return err
	}
	if !ok {
		c.counts[storeNoMemory]++
		return c.refuse(replyNoStore)
	}
	c.counts[cmdSet]++
	v := c.value.b
	if end := len(v) - 2; v[end] != '\r' || v[end+1] != '\n' {
		if r.Op == proto.MetaSet {
			return c.reply(replyBadChunk)
		}
		return c.answer(replyBadChunk)
	}
	ch := item.Change{Mode: r.Mode, Flags: r.Flags, CAS: r.CAS}
	if r.Op == proto.MetaSet {
		m := &r.Meta
		ch.Expiry = item.Expiry(m.TTL, c.now)
		ch.CAS, ch.NewCAS, ch.Stale, ch.BinaryKey = m.CAS, m.NewCAS, m.Stale, m.BinaryKey
		if ch.Vivify = m.Vivify; m.Vivify && (r.Mode == proto.Append || r.Mode == proto.Prepend) {
			ch.Expiry = item.Expiry(m.VivifyTTL, c.now)
		}
	} else {
		ch.Expiry = item.Expiry(r.Exptime, c.now)
	}
	if r.Mode == proto.Append || r.Mode == proto.Prepend {
		c.scratch = getBuffer()
		defer c.dropScratch()
	}
	res, cas, size := c.srv.store.Put(r.Key, v[:len(v)-2], &ch, &c.scratch, c.now)
	if r.Mode == proto.CAS {
		c.countCAS(res)
	}
	if r.Op == proto.MetaSet {
		return c.metaStored(res, cas, size)
	}
	switch res {
	case item.Stored:
		return c.answer("STORED")
	case item.NotStored:
		return c.answer("NOT_STORED")
	case item.Exists:
		return c.answer("EXISTS")
	case item.NotFound:
		return c.answer("NOT_FOUND")
	case item.TooLarge:
		c.counts[storeTooLarge]++
		return c.answer(replyTooLarge)
	}
	c.counts[storeNoMemory]++
	return c.answer(replyNoStore)
}

func (c *conn) countCAS(res item.Result) {
	switch res {
	case item.Stored:
		c.counts[casHits]++
	case item.NotFound:
		c.counts[casMisses]++
	case item.Exists:
		c.counts[casBadval]++
	}
}

// refuse answers a command whose data are not stored, and skips the data. An older
// value goes, too: a client that could not store the new one must not find it.
func (c *conn) refuse(text string) error {
	r := &c.req
	if r.Op == proto.MetaSet || r.Mode == proto.Set {
		c.srv.store.Delete(r.Key, c.now)
	}
	var err error
	if r.Op == proto.MetaSet {
		err = c.reply(text)
	} else {
		err = c.answer(text)
	}
	if err != nil {
		return err
	}
	return c.discard(r.Length + 2 - c.taken())
}

// taken is how much of the data is in value.
func (c *conn) taken() int { return max(len(c.value.b)-item.HeaderSize, 0) }

// readValue reads total bytes into value, after room for a header. Its memory grows
// as they arrive. It reports whether there was enough.
func (c *conn) readValue(total int) (ok bool, err error) {
	v := &c.value
	v.grow(item.HeaderSize, &c.srv.budget) // a buffer's
	v.b = v.b[:item.HeaderSize]
	for end := item.HeaderSize + total; len(v.b) < end; {
		if room := min(end, max(bufferSize, 2*len(v.b))) - len(v.b); !v.grow(room, &c.srv.budget) {
			return false, nil
		}
		room := v.b[len(v.b):min(end, cap(v.b))]
		if n := copy(room, c.in.b[c.at:]); n > 0 {
			c.at += n
			v.b = v.b[:len(v.b)+n]
			continue
		}
		if err := c.flush(); err != nil {
			return false, err
		}
		if err := c.receive(room); err != nil {
			return false, err
		}
		v.b = v.b[:len(v.b)+c.moved]
	}
	return true, nil
}
