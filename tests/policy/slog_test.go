package policy

import (
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// logKeys are the keys of log records, and what each stands for. The same thing has
// the same key in all packages, so that one query finds it.
var logKeys = map[string]string{
	"allocator": "a page.Allocator", "cache": "a slab cache or a bounded cache", "batch": "an rcu.Batch", "callback": "a function",
	"error": "what went wrong", "stall": "a reader that holds up grace periods", "flags": "gfp.Flags",
	"objects": "how many were not freed", "map": "a map", "keys": "how many entries", "sites": "where objects were allocated",
	"order": "of a block", "size": "of an object, bytes", "resident": "bytes", "limit": "bytes", "range": "bytes",
	"deferred_bytes": "bytes that wait for a grace period", "limits": "of the process",
	"since": "for how long", "seq": "of the grace period", "flavour": "of a reader", "readers": "how many", "P": "a P's number",
	"callbacks_waiting": "how many", "barriers_waiting": "how many", "dropped_in_section": "how many",
	"pending_sheaves": "how many", "version": "of Go", "proved": "versions of Go",
	"source": "where a function is", "made": "where a Reader or Sheaf was made", "began": "where a section began", "goroutine": "its number",
}

// Keys of the library's log records are on the list. The calls of slog that take
// keys and values as they come, and the makers of Attrs, name them.
func TestLogKeysAreTheSameEverywhere(t *testing.T) {
	makers := map[string]bool{"String": true, "Int": true, "Int64": true, "Uint64": true, "Duration": true, "Any": true, "Bool": true}
	levels := map[string]bool{"Debug": true, "Info": true, "Warn": true, "Error": true}
	seen := map[string]bool{}
	for _, f := range sources(t) {
		if f.test || f.nested {
			continue
		}
		key := func(e ast.Expr) {
			lit, ok := e.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return
			}
			k, err := strconv.Unquote(lit.Value)
			if seen[k] = true; err != nil || logKeys[k] == "" {
				t.Errorf("%s: the log key %s is not on the list: is there one for it already?", f.path, lit.Value)
			}
		}
		pairs := func(args []ast.Expr) {
			for i := 0; i < len(args); i += 2 {
				key(args[i])
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, _ := sel.X.(*ast.Ident)
			switch slog := from != nil && from.Name == "slog"; {
			case slog && makers[sel.Sel.Name]:
				key(call.Args[0])
			case levels[sel.Sel.Name] && (slog || strings.HasSuffix(nameOfExpr(sel.X), "logger")):
				pairs(call.Args[1:])
				for _, a := range call.Args[1:] { // append([]any{"key", value, …}, more...)
					ast.Inspect(a, func(n ast.Node) bool {
						if list, ok := n.(*ast.CompositeLit); ok {
							pairs(list.Elts)
							return false
						}
						return true
					})
				}
			}
			return true
		})
	}
	for k := range logKeys {
		if !seen[k] {
			t.Errorf("no log record has the key %q any more", k)
		}
	}
}

// nameOfExpr returns the last name of x or a.x.
func nameOfExpr(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
