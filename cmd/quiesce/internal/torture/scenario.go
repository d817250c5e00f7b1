package torture

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quiesce/cmd/quiesce/internal/kit"
)

//go:embed scenarios
var scenarioFiles embed.FS

// Scenario is a named set of parameters. A scenario's file has words of
// name=value, and comments from "#"; the first comment describes it.
type Scenario struct {
	Name   string
	About  string
	Broken bool // it fails on purpose

	p params
}

// Words returns the parameters that are not at their defaults.
func (s *Scenario) Words() string { return s.p.words() }

func parseScenario(name, text string) (*Scenario, error) {
	s := &Scenario{Name: name, p: defaults()}
	if err := s.p.set(text); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	for line := range strings.Lines(text) {
		if c, ok := strings.CutPrefix(strings.TrimSpace(line), "#"); ok {
			s.About = strings.TrimSpace(c)
			break
		}
	}
	s.Broken = s.p.broken()
	return s, nil
}

// Scenarios are those that come with the program, by name. Their files are
// correct: a test reads them all.
func Scenarios() (all []*Scenario) {
	entries, _ := scenarioFiles.ReadDir("scenarios")
	for _, e := range entries {
		text, _ := scenarioFiles.ReadFile("scenarios/" + e.Name())
		if s, err := parseScenario(e.Name(), string(text)); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// Find returns the scenarios of a comma-separated list of names and files; ""
// is every scenario that is not meant to fail.
func Find(list string) (found []*Scenario, err error) {
	all := Scenarios()
	if list == "" {
		return slices.DeleteFunc(all, func(s *Scenario) bool { return s.Broken }), nil
	}
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(all, func(s *Scenario) bool { return strings.EqualFold(s.Name, name) })
		switch {
		case i >= 0:
			found = append(found, all[i])
		case strings.ContainsAny(name, "./\\"):
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, kit.BadInput("scenario file: %v", err)
			}
			s, err := parseScenario(filepath.Base(name), string(text))
			if err != nil {
				return nil, kit.BadInput("%v", err)
			}
			found = append(found, s)
		default:
			return nil, kit.BadInput("no scenario is called %q (see quiesce torture -list)", name)
		}
	}
	return found, nil
}

// Listed is a scenario as a list shows it.
type Listed struct {
	Name   string `json:"scenario"`
	About  string `json:"about"`
	Params string `json:"parameters"`
	Broken bool   `json:"expected_to_fail"`
}

// List describes the scenarios that come with the program.
func List() (all []Listed) {
	for _, s := range Scenarios() {
		all = append(all, Listed{s.Name, s.About, s.Words(), s.Broken})
	}
	return all
}
