package cache

import (
	"testing"
	"time"

	"quiesce/internal/testkit"
)

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, what, ok)
}
