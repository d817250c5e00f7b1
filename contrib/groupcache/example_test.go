package groupcache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/groupcache/groupcache-go/v3"
	"github.com/groupcache/groupcache-go/v3/transport"

	offheap "quiesce/contrib/groupcache"
)

// A group of groupcache whose values lie outside the Go heap.
func Example() {
	instance := groupcache.New(groupcache.Options{CacheFactory: offheap.New})
	group, err := instance.NewGroup("squares", 64<<20, groupcache.GetterFunc(
		func(_ context.Context, key string, dest transport.Sink) error {
			fmt.Println("load", key)
			return dest.SetString(key+" squared", time.Now().Add(time.Hour))
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		var v string
		if err := group.Get(context.Background(), "7", transport.StringSink(&v)); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(v)
	}
	// Output:
	// load 7
	// 7 squared
	// 7 squared
}
