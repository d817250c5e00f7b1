package compare

// sheaf is what this library ships: the array is one of the allocator's own,
// goes back to it whole, and its pointers are the next allocations.
type sheaf struct{ zone }

func newSheaf(in *Instance) (engine, error) {
	return sheaf{zone{in: in}}, nil
}

func (s sheaf) free(o *Object)    { s.in.cache.FreeRCU(o) }
func (s sheaf) freeRaw(o *Object) { s.in.cache.FreeRCU(o) }
func (s sheaf) barrier()          { s.in.cache.Barrier() }

func (s sheaf) counts() Counts {
	st := s.in.cache.Stats()
	return Counts{
		Arrays:    st.RCUArrays,
		Fallback:  st.Fallback,
		Reclaimed: st.Reused + st.Bulk + st.FallbackEnd,
	}
}
