package golangci

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"
)

func TestThePluginIsRegistered(t *testing.T) {
	make, err := register.GetPlugin("quiescevet")
	if err != nil {
		t.Fatal(err)
	}
	p, err := make(nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.BuildAnalyzers()
	if err != nil || len(all) != 8 {
		t.Fatalf("%d checks, %v", len(all), err)
	}
	if err := analysis.Validate(all); err != nil {
		t.Error(err)
	}
	if p.GetLoadMode() != register.LoadModeTypesInfo {
		t.Error("the checks need types")
	}
}

func TestThePluginReadsItsConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	for text, ok := range map[string]bool{
		`{"sources": [{"name": "lease", "begin": ["p.Take"], "end": ["p.Lease.Give"]}]}`: true,
		`{"sources": [{"name": "lease", "begin": ["p.Take"]}]}`:                          false,
		`{"source": []}`: false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		p, err := New(map[string]any{"config": path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.BuildAnalyzers(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := New(map[string]any{"unknown": 1}); err == nil {
		t.Error("an unknown setting is no error")
	}
}
