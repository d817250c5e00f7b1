package policy

import (
	"go/ast"
	"testing"
)

// alarmFile has the alarms of package sys, which belong to no bubble: they are
// made when the program starts.
const alarmFile = "internal/sys/spawn.go"

// The library has no Go timers of its own: they would belong to the synctest
// bubble in which they were made, and one that is set while nothing is pending
// would be a wake-up. Workers wait by sys.Sleep or sys.Alarm, and end.
func TestTheLibraryUsesNoTimers(t *testing.T) {
	timers := map[string]bool{"Sleep": true, "After": true, "AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true}
	for _, f := range sources(t) {
		if f.test || f.nested || f.path == alarmFile || f.pkg == "internal/testkit" || f.pkg == "cmd/quiesce/internal/demo" || f.pkg == "cmd/quiesce/internal/torture" || f.path == "cmd/quiesce/internal/compare/child.go" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && timers[s.Sel.Name] {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s uses time.%s", f.path, s.Sel.Name)
				}
			}
			return true
		})
	}
}
