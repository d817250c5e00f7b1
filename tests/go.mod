module quiesce/tests

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/google/pprof v0.0.0-20261105003125-4bf881d7fb0b
	pgregory.net/rapid v1.3.0
	quiesce v0.0.0
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace quiesce => ..
