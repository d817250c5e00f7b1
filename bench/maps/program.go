package main

import (
	"context"
	"embed"
	"io/fs"

	"quiesce/bench/internal/harness"
)

// The C program's source is in the binary: the command runs from anywhere.
//
//go:embed c/maps.c
var embedded embed.FS

var (
	sources, _ = fs.Sub(embedded, "c") // a valid name: no error

	packages = []harness.Package{{Name: "liburcu-dev", Probe: "#include <urcu/urcu-memb.h>\n#include <urcu/rculfhash.h>",
		Libs: "-lurcu-memb -lurcu-cds -lurcu-common"}}
	program = harness.Program{Source: "maps.c", Libs: []string{"-lurcu-memb", "-lurcu-cds", "-lurcu-common"}, Packages: []string{"liburcu-dev"}}
)

// cProgram compiles the C map's program, if a run needs it. Where that can't
// be, it returns no file, and why.
func cProgram(ctx context.Context, dir string, runs []run) (file, why string, err error) {
	need := false
	for _, r := range runs {
		for _, p := range r.peers {
			need = need || p.inC
		}
	}
	if !need {
		return "", "", nil
	}
	cc, err := harness.NewCompiler(ctx, dir, sources, packages)
	if err != nil {
		return "", "", err
	}
	if name := cc.Missing(&program); name != "" {
		return "", "C rculfhash: " + cc.Absent[name] + ": apt-get install " + name, nil
	}
	file, err = cc.Build(ctx, &program)
	return file, "", err
}
