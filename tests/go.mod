module quiesce/tests

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	pgregory.net/rapid v1.3.0
	quiesce v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace quiesce => ..
