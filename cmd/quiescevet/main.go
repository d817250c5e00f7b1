package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/unitchecker"

	"quiesce/cmd/quiescevet/internal/checks"
)

func main() {
	args := os.Args[1:]
	all := checks.All(nil)
	switch {
	case len(args) == 1 && args[0] == "-V=full":
		id, err := identity()
		if err != nil {
			fmt.Fprintln(os.Stderr, "quiescevet:", err)
			os.Exit(1)
		}
		fmt.Printf("quiescevet version devel buildID=%s\n", id)
	case len(args) > 0 && (args[0] == "-flags" || strings.HasSuffix(args[len(args)-1], ".cfg")):
		if factsOnly(args[len(args)-1]) {
			all = checks.FactsOnly(all)
		}
		unitchecker.Main(all...)
	case len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		fmt.Print(usage())
	default:
		multichecker.Main(all...)
	}
}
