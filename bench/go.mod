module quiesce/bench

go 1.26.0

require (
	github.com/puzpuzpuz/xsync/v4 v4.5.0
	modernc.org/memory v1.12.1
	quiesce v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace quiesce => ..
