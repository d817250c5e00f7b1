package sys

// AddressLimit returns the most address space that the process may have in
// bytes, or 0 if that is not limited.
func AddressLimit() uint64 { return 0 }
