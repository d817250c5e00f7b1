//go:build !poison && !asan

package slabtest_test

import (
	"testing"

	"quiesce/slab/slabtest"
)

// onlyHelper is a test of which Check uses nothing but Helper.
type onlyHelper struct{ testing.TB }

func (onlyHelper) Helper() {}

// In a build without the checks Check costs nothing.
func TestCheckDoesNothingInPlainBuilds(t *testing.T) { slabtest.Check(onlyHelper{}) }
