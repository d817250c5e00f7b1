package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"quiesce/internal/race"
)

var raceBinary struct {
	sync.Once
	dir, path string
	err       error
}

// RaceBinary returns the path of the calling package's test binary in a build
// with -race: this one, or one that is built for the purpose. Main removes it.
func RaceBinary(t testing.TB) string {
	t.Helper()
	if race.Enabled {
		return os.Args[0]
	}
	if testing.Short() {
		t.Skip("builds everything once more, with -race; go test -race runs this in its short form too")
	}
	b := &raceBinary
	b.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "quiesce-race"); b.err != nil {
			return
		}
		b.path = filepath.Join(b.dir, "race.test")
		out, err := exec.Command("go", "test", "-race", "-c", "-o", b.path, ".").CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if b.err != nil {
		if _, err := exec.LookPath("gcc"); err != nil || os.Getenv("CGO_ENABLED") == "0" {
			t.Skipf("no -race builds here: %v", b.err)
		}
		t.Fatal(b.err)
	}
	return b.path
}

func removeRaceBinary() {
	if raceBinary.dir != "" {
		_ = os.RemoveAll(raceBinary.dir)
	}
}
