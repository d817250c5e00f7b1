package item

import "unsafe"

// keyString returns key as a string, without a copy: the key of a command lies in its
// connection's buffer, and the cache copies it if it keeps it. The string is for the
// length of a call.
func keyString(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }
