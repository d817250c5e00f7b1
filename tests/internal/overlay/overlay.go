// Package overlay has the go command compile the repository with other texts in
// place of some of its files, and with files that it does not have. No file of the
// repository is touched.
package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Root finds the root of the workspace that the working directory is in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	work := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(work) != "go.work" {
		return "", errors.New("run this inside of the repository (go env GOWORK names no go.work)")
	}
	return filepath.Dir(work), nil
}

// Write writes the texts into dir, and with them what go build's flag -overlay
// reads. It returns that file. The names of files are relative to root, with
// slashes.
func Write(root, dir string, files map[string]string) (list string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range files {
		with := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+filepath.Ext(file))
		if err := os.WriteFile(with, []byte(text), 0o666); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(file))] = with
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, text, 0o666)
}

// FuncName is name, or type.name of a method; "" for nil.
func FuncName(fn *ast.FuncDecl) string {
	if fn == nil {
		return ""
	}
	name := fn.Name.Name
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return name
	}
	for t := fn.Recv.List[0].Type; ; {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + name
		default:
			return name
		}
	}
}
