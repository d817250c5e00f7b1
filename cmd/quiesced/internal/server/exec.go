package server

import (
	"strconv"

	"quiesce/cmd/quiesced/internal/item"
	"quiesce/cmd/quiesced/internal/proto"
	"quiesce/rcu"
)

// The answers that several commands give.
const (
	replyTooLarge   = "SERVER_ERROR object too large for cache"
	replyNoStore    = "SERVER_ERROR out of memory storing object"
	replyNoGet      = "SERVER_ERROR out of memory writing get response"
	replyNoMemory   = "SERVER_ERROR out of memory"
	replyBadChunk   = "CLIENT_ERROR bad data chunk"
	replyNotANumber = "CLIENT_ERROR cannot increment or decrement non-numeric value"
)

// exec answers a line. An error ends the connection.
func (c *conn) exec(line []byte) error {
	if !c.authorized {
		return c.authorize(line)
	}
	r := &c.req
	r.Parse(line)
	switch r.Op {
	case proto.Get:
		return c.get()
	case proto.Store, proto.MetaSet:
		return c.store(line)
	case proto.MetaGet:
		c.counts[cmdMeta]++
		return c.metaGet()
	case proto.Reply:
		if r.Swallow > 0 {
			if err := c.reply(r.Text); err != nil {
				return err
			}
			return c.discard(r.Swallow)
		}
		return c.answer(r.Text)
	case proto.MetaNoop:
		c.counts[cmdMeta]++
		return c.reply("MN")
	case proto.Quit:
		c.leaving = true
		return nil
	}
	defer c.dropScratch()
	c.scratch = getBuffer()
	switch r.Op {
	case proto.Delta:
		return c.delta()
	case proto.Touch:
		c.counts[cmdTouch]++
		if c.srv.store.Touch(r.Key, item.Expiry(r.Exptime, c.now), &c.scratch, c.now) {
			c.counts[touchHits]++
			return c.answer("TOUCHED")
		}
		c.counts[touchMisses]++
		return c.answer("NOT_FOUND")
	case proto.Delete:
		if c.srv.store.Delete(r.Key, c.now) {
			c.counts[deleteHits]++
			return c.answer("DELETED")
		}
		c.counts[deleteMisses]++
		return c.answer("NOT_FOUND")
	case proto.MetaDelete:
		c.counts[cmdMeta]++
		return c.metaDelete()
	case proto.MetaDelta:
		c.counts[cmdMeta]++
		return c.metaDelta()
	case proto.MetaDebug:
		c.counts[cmdMeta]++
		return c.metaDebug()
	}
	return c.admin()
}

func (c *conn) dropScratch() {
	putBuffer(c.scratch)
	c.scratch = nil
}

// get answers get, gets, gat and gats.
func (c *conn) get() error {
	r := &c.req
	if r.Touches {
		c.scratch = getBuffer()
		defer c.dropScratch()
	}
	for keys := r.Keys; ; {
		var key []byte
		if key, keys = proto.NextKey(keys); key == nil {
			break
		}
		var err error
		if r.Touches {
			err = c.getAndTouch(key, item.Expiry(r.Exptime, c.now))
		} else {
			err = c.getOne(key)
		}
		if err == errBudget {
			return c.reply(replyNoGet)
		}
		if err != nil {
			return err
		}
	}
	return c.reply("END")
}

// getOne answers with the value of key, if there is one.
func (c *conn) getOne(key []byte) error {
	store := c.srv.store
	for {
		g := rcu.ReadLock()
		it, ok := store.Peek(g, key, c.now)
		if !ok {
			g.Unlock()
			c.counts[cmdGet]++
			c.counts[getMisses]++
			return nil
		}
		need := proto.ValueHead + len(it.Data) + 2
		if need <= cap(c.out.b)-len(c.out.b) {
			c.appendValue(key, it)
			g.Unlock()
			it.Data = nil
			c.counts[cmdGet]++
			c.counts[getHits]++
			store.Accessed(key, it, c.now)
			return nil
		}
		g.Unlock()
		if err := c.reserve(need); err != nil {
			return err
		}
	}
}

func (c *conn) appendValue(key []byte, it item.Item) {
	b := proto.AppendValueHead(c.out.b, key, it.Flags, len(it.Data), it.CAS, c.req.WithCAS)
	b = append(b, it.Data...)
	c.out.b = append(b, "\r\n"...)
}

func (c *conn) getAndTouch(key []byte, expiry uint32) error {
	c.counts[cmdTouch]++
	it, ok := c.srv.store.GetAndTouch(key, expiry, &c.scratch, c.now)
	if !ok {
		c.counts[touchMisses]++
		return nil
	}
	c.counts[touchHits]++
	if err := c.reserve(proto.ValueHead + len(it.Data) + 2); err != nil {
		return err
	}
	c.appendValue(key, it)
	return nil
}

// delta answers incr and decr.
func (c *conn) delta() error {
	r := &c.req
	hit, miss := incrHits, incrMisses
	if r.Decr {
		hit, miss = decrHits, decrMisses
	}
	_, _, n, res := c.srv.store.Count(r.Key, &item.Delta{Decr: r.Decr, By: r.Delta}, &c.scratch, c.now)
	switch res {
	case item.Stored:
		c.counts[hit]++
		if r.NoReply {
			return nil
		}
		if err := c.reserve(32); err != nil {
			return err
		}
		c.out.b = strconv.AppendUint(c.out.b, n, 10)
		c.out.b = append(c.out.b, "\r\n"...)
		return nil
	case item.NotFound:
		c.counts[miss]++
		return c.answer("NOT_FOUND")
	case item.NotANumber:
		return c.answer(replyNotANumber)
	}
	return c.answer(replyNoMemory)
}
