package compare

import "quiesce/gfp"

// rawapi is alternative 3: FreeRaw is kfree_rcu_raw, and never allocates. To
// call Free in a raw atomic context is the developer's mistake.
type rawapi struct{ *batcher }

func newRawAPI(in *Instance) (engine, error) {
	return rawapi{newBatcher(in, zone{in, gfp.NoWait | gfp.NoWarn})}, nil
}

func (r rawapi) freeRaw(o *Object) { r.chain(o) }
