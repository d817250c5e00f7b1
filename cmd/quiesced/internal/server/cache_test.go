package server

import (
	"testing"

	"quiesce/cmd/quiesced/internal/item"
)

func newTestCache(t testing.TB) item.Cache { return newMapCache() }
