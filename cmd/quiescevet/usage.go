package main

import (
	"fmt"
	"strings"

	"quiesce/cmd/quiescevet/internal/checks"
)

// usage is what -h prints. It fits 80 columns.
func usage() string {
	b := new(strings.Builder)
	b.WriteString(`Quiescevet finds guards that are not unlocked, and memory that is used after
its guard or transaction has ended, in programs that use Quiesce, bbolt or
pebble.

  quiescevet ./...                            by itself
  quiescevet -fix ./...                       apply the fixes that are safe
  quiescevet -borrow -unlock ./...            these checks alone
  go vet -vettool=$(which quiescevet) ./...   by go vet, which caches results
  quiescevet help borrow                      more about a check

Checks:

`)
	for _, a := range checks.All(nil) {
		title, _, _ := strings.Cut(a.Doc, "\n")
		fmt.Fprintf(b, "  %-11s %s\n", a.Name, title)
	}
	b.WriteString(`
A comment silences a finding that is meant; it says why:

  g.Unlock() //quiescevet:ignore the test wants the panic

A file quiescevet.json, next to a package or above it, names what else lends
memory: functions whose results are valid until a method ends that.

  {"sources": [{"name":   "lease",
                "begin":  ["example.org/pool.Take"],
                "borrow": ["example.org/pool.Lease.Bytes"],
                "end":    ["example.org/pool.Lease.Give"]}]}

Exit status: 0 without findings, 3 with, 1 if packages don't load.
`)
	return b.String()
}
