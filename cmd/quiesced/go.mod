module quiesce/cmd/quiesced

go 1.26.0

require (
	github.com/bradfitz/gomemcache v0.0.0-20260422231931-4d751bb6e37c
	github.com/spf13/pflag v1.0.9
	quiesce v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace quiesce => ../..
