package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is what every help text fits.
const helpWidth = 80

// valueName is the annotation with the name of a flag's value.
const valueName = "value"

// helpText is what -h prints.
func helpText(c *cobra.Command) string {
	var b strings.Builder
	j := jobs[c]
	if j == nil {
		j = &job{}
	}
	title := j.title
	if title == "" {
		title = c.Short
	}
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n", c.CommandPath(), title, c.UseLine())
	if j.about != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(j.about))
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				b.WriteString(entry(sub.Name(), sub.Short, 14))
			}
		}
	}
	if j.before != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(j.before, "\n"))
	}
	if c.LocalFlags().HasAvailableFlags() && j.flags != nil {
		fmt.Fprintf(&b, "\nFlags:\n%s", describe(c.LocalFlags()))
	}
	if j.notes != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Trim(j.notes, "\n"))
	}
	if len(j.examples) == 1 {
		b.WriteString("\nExample:\n")
	} else if len(j.examples) > 1 {
		b.WriteString("\nExamples:\n")
	}
	for _, e := range j.examples {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	if j.exits.ok != "" {
		b.WriteString("\nExit status:\n")
		for _, e := range [][2]string{{"0", j.exits.ok}, {"1", j.exits.failed}, {"2", j.exits.usage}, {"130", j.exits.interrupted}} {
			if e[1] != "" {
				b.WriteString(entry(e[0], e[1], 7))
			}
		}
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND -h\" says more.\n", c.CommandPath())
	}
	return b.String()
}

// describe lists a set's flags.
func describe(fs *pflag.FlagSet) string {
	var b strings.Builder
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		value := strings.Join(f.Annotations[valueName], "")
		name := "-" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		b.WriteString(entry(strings.TrimSpace(name+" "+value), f.Usage, 20))
	})
	return b.String()
}

// entry returns a name and, from column indent, a wrapped text about it.
// A long name has a line of its own.
func entry(name, about string, indent int) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimSpace(text.WrapSoft(about, helpWidth-2-indent)), "\n")
	if len(name) > indent-3 {
		name += fmt.Sprintf("\n%*s", indent, "")
	}
	fmt.Fprintf(&b, "  %-*s%s\n", indent-2, name, strings.TrimSpace(lines[0]))
	for _, l := range lines[1:] {
		fmt.Fprintf(&b, "%*s%s\n", indent, "", strings.TrimSpace(l))
	}
	return b.String()
}
