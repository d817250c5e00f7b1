module quiesce/bench

go 1.26.0

require (
	github.com/jedib0t/go-pretty/v6 v6.8.3
	github.com/puzpuzpuz/xsync/v4 v4.5.0
	modernc.org/memory v1.12.1
	quiesce v0.0.0
)

require (
	github.com/mattn/go-runewidth v0.0.16 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.22.0 // indirect
)

replace quiesce => ..
