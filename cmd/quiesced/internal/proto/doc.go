// Package proto reads memcached's text protocol and its meta commands, and
// writes the replies. It does no I/O.
//
//	var r proto.Request
//	r.Parse([]byte("set greeting 0 60 5"))
//	// r.Op is proto.Store, r.Length says how much data follows the line
//
// Parse never fails: a line that is no command becomes a Request whose Op is
// [Reply], with the error that the protocol has for it. A Request holds no memory
// of its own. Its slices point into the line, so both are valid until the buffer
// with the line is used again, and Parse allocates nothing.
//
// # What a line may be
//
// A line is what precedes "\n"; one "\r" before it is no part of it. Words are
// separated by spaces, and by nothing else: keys may have any other byte. A NUL
// ends a line early. Numbers are those of strtol: white space and a sign may come
// before the digits, and white space may follow them. All of this is what
// memcached does, and clients have come to depend on some of it.
package proto
