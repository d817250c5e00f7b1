package testkit

import "os"

// longEnv, if it is set, asks for long forms.
const longEnv = "QUIESCE_TEST_LONG"

// Long reports whether tests that have a long form run that: more seeds, more
// rounds, more objects. .ci/nightly asks for it; a plain go test does not. A
// test's long form asserts what its plain form does.
func Long() bool { return os.Getenv(longEnv) != "" }
