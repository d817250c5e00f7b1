// Package groupcache lets groupcache-go keep its values in a [cache.Bytes], outside
// the Go heap: the collector does not scan them, the memory of each group has a limit
// that holds, and what is asked for often stays (groupcache's own cache is an LRU
// under a mutex).
//
//	import (
//		"github.com/groupcache/groupcache-go/v3"
//		offheap "quiesce/contrib/groupcache"
//	)
//
//	instance := groupcache.New(groupcache.Options{CacheFactory: offheap.New})
//
// groupcache makes two caches for a group, with 7/8 and 1/8 of the group's bytes. A
// cache has at least 256 KiB: a group of less than 2 MiB takes somewhat more than it
// is told.
//
// The bytes that a group reports (Group.UsedBytes, CacheStats) are all the memory of
// its caches: keys and values, and what is needed to find them.
package groupcache
