package fastcache_test

import (
	"fmt"

	"quiesce/contrib/fastcache"
)

func Example() {
	c := fastcache.New(64 << 20)
	defer c.Reset()
	c.Set([]byte("key"), []byte("value"))
	fmt.Printf("%s\n", c.Get(nil, []byte("key")))
	v, ok := c.HasGet(nil, []byte("other"))
	fmt.Println(v, ok)
	// Output:
	// value
	// [] false
}
