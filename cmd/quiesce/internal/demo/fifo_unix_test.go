//go:build unix

package demo

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A directory given as a link is followed, links in it are not.
func TestOnlyRegularFilesAreLoaded(t *testing.T) {
	dir := tree(t, 5)
	if err := os.Symlink(filepath.Join(dir, "0"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Skip(err)
	}
	link := filepath.Join(t.TempDir(), "dir")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	rep := mustRun(t, short(link))
	clean(t, rep)
	if rep.Files != 5 || rep.NotRegular != 2 {
		t.Errorf("%d files, %d not regular", rep.Files, rep.NotRegular)
	}
}
