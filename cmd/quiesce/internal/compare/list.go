package compare

// list is kfree_rcu until Linux 5.6: every object is chained through the
// rcu_head inside of it.
type list struct{ *batcher }

func newList(in *Instance) (engine, error) {
	return list{newBatcher(in, zone{in: in})}, nil
}

func (l list) free(o *Object)    { l.chain(o) }
func (l list) freeRaw(o *Object) { l.chain(o) }
