// Package golangci makes the checks of quiescevet a module plugin of
// golangci-lint. See docs/guide/vet.md for the two files that it needs.
package golangci

import (
	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/checks"
)

func init() { register.Plugin("quiescevet", New) }

// Settings are the plugin's settings in .golangci.yml.
type Settings struct {
	// Config is the path of a configuration. Without it the nearest
	// quiescevet.json counts.
	Config string `json:"config"`
}

type plugin struct{ settings Settings }

// New makes the plugin.
func New(settings any) (register.LinterPlugin, error) {
	s, err := register.DecodeSettings[Settings](settings)
	if err != nil {
		return nil, err
	}
	return &plugin{s}, nil
}

// BuildAnalyzers returns the checks.
func (p *plugin) BuildAnalyzers() ([]*analysis.Analyzer, error) {
	if p.settings.Config == "" {
		return checks.All(nil), nil
	}
	c, err := api.ReadConfig(p.settings.Config)
	if err != nil {
		return nil, err
	}
	return checks.All(func(string) (*api.Config, error) { return c, nil }), nil
}

// GetLoadMode says that the checks need types.
func (p *plugin) GetLoadMode() string { return register.LoadModeTypesInfo }
