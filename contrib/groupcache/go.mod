module quiesce/contrib/groupcache

go 1.26.0

require (
	github.com/groupcache/groupcache-go/v3 v3.2.0
	quiesce v0.0.0
)

require (
	github.com/segmentio/fasthash v1.0.3 // indirect
	golang.org/x/net v0.22.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.28.1 // indirect
)

replace quiesce => ../..
