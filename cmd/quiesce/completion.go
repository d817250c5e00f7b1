package main

import (
	"github.com/spf13/cobra"
)

// completionCommand prints what has a shell complete commands and flags.
func completionCommand(s streams) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	c := &cobra.Command{
		Use:                   "completion bash|zsh|fish|powershell",
		Short:                 "a script that completes commands and flags in a shell",
		DisableFlagsInUseLine: true,
		ValidArgs:             shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{msg: "want a shell: bash, zsh, fish, powershell", bare: true}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(s.out, true)
			case "zsh":
				return root.GenZshCompletion(s.out)
			case "fish":
				return root.GenFishCompletion(s.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(s.out)
			}
			return &usageError{msg: "no such shell: " + args[0]}
		},
	}
	jobs[c] = &job{
		about: `Prints a script for a shell on stdout. Flags are completed after two dashes.`,
		examples: []string{
			`source <(quiesce completion bash)                 (this session)`,
			`quiesce completion bash > /etc/bash_completion.d/quiesce`,
			`quiesce completion zsh > "${fpath[1]}/_quiesce"`,
			`quiesce completion fish > ~/.config/fish/completions/quiesce.fish`,
		},
	}
	return c
}
