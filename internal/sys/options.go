package sys

import (
	"os"
	"strings"
)

// Option returns the value of name in the environment variable QUIESCE, a
// comma-separated list of name=value, and whether it is there.
func Option(name string) (string, bool) {
	for _, kv := range strings.Split(os.Getenv("QUIESCE"), ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(kv), "=")
		if ok && k == name {
			return v, true
		}
	}
	return "", false
}
