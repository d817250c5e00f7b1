package server

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/proto"
	"quiesce/rcu"
)

// metaLine answers a meta command: code, what the client wants repeated, and a line
// end.
func (c *conn) metaLine(code string) error {
	if err := c.reserve(proto.MetaLine); err != nil {
		return err
	}
	b := c.req.AppendEcho(append(c.out.b, code...))
	c.out.b = append(b, "\r\n"...)
	return nil
}

// metaGet answers mg.
func (c *conn) metaGet() error {
	r := &c.req
	if !r.Meta.Lock {
		done, err := c.metaGetFast()
		if done || err != nil {
			return c.orNoGet(err)
		}
	}
	c.scratch = getBuffer()
	defer c.dropScratch()
	m := &r.Meta
	mg := item.MetaGet{NoUpdate: m.NoUpdate, BinaryKey: m.BinaryKey, NewCAS: m.NewCAS}
	if mg.Vivify = m.Vivify; m.Vivify {
		mg.VivifyExpiry = item.Expiry(m.VivifyTTL, c.now)
	}
	if mg.HasExpiry = m.HasTTL; m.HasTTL {
		mg.Expiry = item.Expiry(m.TTL, c.now)
	}
	if mg.Recache = m.Recache; m.Recache {
		mg.RecacheExpiry = item.Expiry(m.RecacheTTL, c.now)
	}
	got, ok := c.srv.store.MetaGet(r.Key, &mg, &c.scratch, c.now)
	hit, miss, cmd := getHits, getMisses, cmdGet
	if m.HasTTL {
		hit, miss, cmd = touchHits, touchMisses, cmdTouch
	}
	c.counts[cmd]++
	if !ok {
		c.counts[miss]++
		return c.metaMiss()
	}
	c.counts[hit]++
	if err := c.reserve(proto.MetaLine + len(got.Data) + 2); err != nil {
		return c.orNoGet(err)
	}
	c.appendMeta(&got, &mg)
	return nil
}

func (c *conn) orNoGet(err error) error {
	if err == errBudget {
		return c.reply(replyNoGet)
	}
	return err
}

func (c *conn) metaMiss() error {
	if c.req.NoReply {
		return nil
	}
	return c.metaLine("EN")
}

// metaGetFast answers an mg that changes nothing, of an item that is neither stale
// nor to be renewed. Otherwise it has done nothing.
func (c *conn) metaGetFast() (done bool, err error) {
	key := c.req.Key
	for {
		g := rcu.ReadLock()
		it, ok := c.srv.store.Peek(g, key, c.now)
		if !ok {
			g.Unlock()
			c.counts[cmdGet]++
			c.counts[getMisses]++
			return true, c.metaMiss()
		}
		if it.State&(item.Stale|item.Won) != 0 {
			g.Unlock()
			return false, nil
		}
		need := proto.MetaLine + len(it.Data) + 2
		if need <= cap(c.out.b)-len(c.out.b) {
			got := item.Meta{Item: it, Before: it.Expiry}
			c.appendMeta(&got, nil)
			g.Unlock()
			it.Data = nil
			c.counts[cmdGet]++
			c.counts[getHits]++
			if !c.req.Meta.NoUpdate {
				c.srv.store.Accessed(key, it, c.now)
			}
			return true, nil
		}
		g.Unlock()
		if err := c.reserve(need); err != nil {
			return true, err
		}
	}
}

// appendMeta answers with an item. It has room.
func (c *conn) appendMeta(got *item.Meta, mg *item.MetaGet) {
	r, b := &c.req, c.out.b
	if r.Meta.Value {
		b = strconv.AppendInt(append(b, "VA "...), int64(len(got.Data)), 10)
	} else {
		b = append(b, "HD"...)
	}
	expiry := item.Item{Expiry: got.Before}
	for _, w := range r.Meta.Flags {
		switch w[0] {
		case 'T':
			expiry.Expiry = mg.Expiry
		case 'N':
			if got.Won && expiry.Expiry == 0 {
				expiry.Expiry = mg.VivifyExpiry
			}
		case 's':
			b = proto.AppendMetaNumber(b, 's', uint64(len(got.Data)))
		case 't':
			b = appendTTL(b, &expiry, c.now)
		case 'c':
			b = proto.AppendMetaNumber(b, 'c', got.CAS)
		case 'f':
			b = proto.AppendMetaNumber(b, 'f', uint64(got.Flags))
		case 'l':
			b = proto.AppendMetaNumber(b, 'l', uint64(got.LastRead))
		case 'h':
			h := uint64(0)
			if got.Fetched {
				h = 1
			}
			b = proto.AppendMetaNumber(b, 'h', h)
		case 'O':
			b = append(append(b, ' '), w...)
		case 'k':
			b = proto.AppendMetaKey(b, r.Key, got.State&item.BinaryKey != 0)
		}
	}
	if got.WasWon {
		b = append(b, " Z"...)
	}
	if got.State&item.Stale != 0 {
		b = append(b, " X"...)
	}
	if got.Won {
		b = append(b, " W"...)
	}
	b = append(b, "\r\n"...)
	if r.Meta.Value {
		b = append(b, got.Data...)
		b = append(b, "\r\n"...)
	}
	c.out.b = b
}

func appendTTL(b []byte, it *item.Item, now int64) []byte {
	left, ends := it.TTL(now)
	if !ends {
		return append(b, " t-1"...)
	}
	return proto.AppendMetaNumber(b, 't', uint64(left))
}

// metaStored answers ms.
func (c *conn) metaStored(res item.Result, cas uint64, size int) error {
	r := &c.req
	var code string
	switch res {
	case item.Stored:
		if r.NoReply {
			return nil
		}
		code = "HD"
	case item.NotStored:
		code = "NS"
	case item.Exists:
		code = "EX"
	case item.NotFound:
		code = "NF"
	case item.TooLarge:
		c.counts[storeTooLarge]++
		return c.reply(replyTooLarge)
	default:
		c.counts[storeNoMemory]++
		return c.reply(replyNoStore)
	}
	if err := c.reserve(proto.MetaLine); err != nil {
		return err
	}
	b := append(c.out.b, code...)
	for _, w := range r.Meta.Flags {
		switch w[0] {
		case 'O':
			b = append(append(b, ' '), w...)
		case 'k':
			b = proto.AppendMetaKey(b, r.Key, r.Meta.BinaryKey)
		case 'c':
			b = proto.AppendMetaNumber(b, 'c', cas)
		case 's':
			if res == item.Stored {
				b = proto.AppendMetaNumber(b, 's', uint64(size))
			}
		}
	}
	c.out.b = append(b, "\r\n"...)
	return nil
}

// metaDelete answers md.
func (c *conn) metaDelete() error {
	m := &c.req.Meta
	md := item.MetaDelete{
		HasCAS: m.HasCAS, CAS: m.CAS, NewCAS: m.NewCAS,
		Stale: m.Stale, DropValue: m.Remove, HasExpiry: m.HasTTL,
	}
	if m.HasTTL {
		md.Expiry = item.Expiry(m.TTL, c.now)
	}
	switch c.srv.store.MetaDelete(c.req.Key, &md, &c.scratch, c.now) {
	case item.Stored:
		c.counts[deleteHits]++
		if c.req.NoReply {
			return nil
		}
		return c.metaLine("HD")
	case item.NotFound:
		c.counts[deleteMisses]++
		return c.metaLine("NF")
	case item.Exists:
		c.counts[deleteMisses]++
		return c.metaLine("EX")
	}
	return c.reply(replyNoMemory)
}

// metaDelta answers ma.
func (c *conn) metaDelta() error {
	r := &c.req
	m := &r.Meta
	hit, miss := incrHits, incrMisses
	if r.Decr {
		hit, miss = decrHits, decrMisses
	}
	d := item.Delta{
		Decr: r.Decr, By: m.Delta, CAS: m.CAS, NewCAS: m.NewCAS, Vivify: m.Vivify,
		Initial: m.Initial, BinaryKey: m.BinaryKey, HasExpiry: m.HasTTL,
	}
	if m.Vivify {
		d.VivifyExpiry = item.Expiry(m.VivifyTTL, c.now)
	}
	if m.HasTTL {
		d.Expiry = item.Expiry(m.TTL, c.now)
	}
	it, before, n, res := c.srv.store.Count(r.Key, &d, &c.scratch, c.now)
	switch res {
	case item.Stored:
		c.counts[hit]++
		if r.NoReply {
			return nil
		}
	case item.NotFound:
		c.counts[miss]++
		return c.metaLine("NF")
	case item.Exists:
		return c.metaLine("EX")
	case item.NotANumber:
		return c.reply(replyNotANumber)
	default:
		return c.reply(replyNoMemory)
	}
	if err := c.reserve(proto.MetaLine); err != nil {
		return err
	}
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], n, 10)
	b := c.out.b
	if m.Value {
		b = strconv.AppendInt(append(b, "VA "...), int64(len(number)), 10)
	} else {
		b = append(b, "HD"...)
	}
	shown := item.Item{Expiry: before}
	for _, w := range m.Flags {
		switch w[0] {
		case 'T', 'N':
			shown.Expiry = it.Expiry
		case 'c':
			b = proto.AppendMetaNumber(b, 'c', it.CAS)
		case 't':
			b = appendTTL(b, &shown, c.now)
		case 'O':
			b = append(append(b, ' '), w...)
		case 'k':
			b = proto.AppendMetaKey(b, r.Key, m.BinaryKey)
		}
	}
	b = append(b, "\r\n"...)
	if m.Value {
		b = append(b, number...)
		b = append(b, "\r\n"...)
	}
	c.out.b = b
	return nil
}

// metaDebug answers me.
func (c *conn) metaDebug() error {
	r := &c.req
	got, ok := c.srv.store.MetaGet(r.Key, &item.MetaGet{NoUpdate: true, ReadOnly: true}, &c.scratch, c.now)
	if !ok {
		return c.reply("EN")
	}
	key := string(r.Key)
	if got.State&item.BinaryKey != 0 {
		key = base64.StdEncoding.EncodeToString(r.Key)
	}
	exp := int64(-1)
	if left, ends := got.TTL(c.now); ends {
		exp = left
	}
	fetched := "no"
	if got.Fetched {
		fetched = "yes"
	}
	return c.reply(fmt.Sprintf("ME %s exp=%d la=%d cas=%d fetch=%s cls=1 size=%d",
		key, exp, got.LastRead, got.CAS, fetched, item.Size(len(r.Key), len(got.Data), got.Flags)))
}
