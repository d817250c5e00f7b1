package rcu

import (
	"reflect"
	"testing"

	"quiesce/internal/depcheck"
)

// depcheck.CheckGuard relies on it.
func TestAGuardBeginsWithItsSection(t *testing.T) {
	if f := reflect.TypeFor[Guard]().Field(0); f.Offset != 0 || f.Type != reflect.TypeFor[depcheck.Section]() {
		t.Errorf("the first field of a Guard is %s %v at %d", f.Name, f.Type, f.Offset)
	}
}
