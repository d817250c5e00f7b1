package sys

// AddressLimit returns the most address space that the process may have in
// bytes, or 0 if that is not limited.
func AddressLimit() uint64 { return 0 }

// AddressLeft returns how much more address space the process may have, if that
// is limited.
func AddressLeft() (bytes uint64, limited bool) { return 0, false }

// DataLeft returns how much more writable memory the process may have, if that
// is limited.
func DataLeft() (bytes uint64, limited bool) { return 0, false }

// Limits names the limits of the process's address space, for logs and errors.
func Limits() string { return "none" }
