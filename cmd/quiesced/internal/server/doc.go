// Package server serves memcached's text protocol on connections.
//
// # Design
//
// A connection is a goroutine. It reads what there is, answers every complete
// command of it into one buffer, and writes that buffer once, before it waits for
// more. Commands that come in one packet are answered in one.
//
// # Memory
//
// A connection that waits for a command has no buffers: it waits until it can read,
// and takes a buffer from the pool then. (A TLS connection keeps one.) While it works
// it has at most bufferSize bytes for each of reading, writing and data. What needs
// more, a large value or a long list of keys, takes it from a budget that all
// connections share, as the bytes arrive; if the budget is used up, the command fails with
// the protocol's SERVER_ERROR, and the connection continues. So memory is bounded by
//
//	connections that work × 4 × bufferSize + Config.ConnMemory
//
// next to the cache's own limit, goroutine stacks, and an item for each command that
// runs at the moment, whatever clients send and however slowly they read. A client
// that does not read its answers within Config.WriteTimeout is disconnected.
//
// # Guards
//
// A value is copied from the cache into the output buffer under an rcu.Guard, only
// if there is room for it. Otherwise the guard is unlocked, room made, which may write
// to the network, and the value looked up again. No guard is held where a
// connection can block.
//
// # Lock order
//
//	Server.mu
//
// and nothing inside: no lock is held while a command runs.
package server
