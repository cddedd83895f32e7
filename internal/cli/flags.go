package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Help texts of --config. Each names the configuration that a command uses without the flag.
const (
	configHelpRun     = "configuration file; default: the built-in lab on loopback"
	configHelpConsole = "configuration file that says where the console is; default: " + installedConfig +
		" if it is readable, otherwise the built-in lab on loopback"
	configHelpHost = "configuration file to check the machine for; default: " + installedConfig +
		" if it is readable, otherwise the built-in lab on loopback"
	configHelpStreams = "configuration file that declares the streams; default: " +
		"the lab in ./muster-data, if one is running there"
)

// configFlag adds --config with the given help text. An empty file name is an error: it is most
// likely an unset shell variable, and falling back to the default would surprise the user.
func (p *program) configFlag(cmd *cobra.Command, help string) {
	addPreRun(cmd, func() error {
		if cmd.Flags().Changed("config") && p.configFile == "" {
			return usageError{errors.New("--config: the file name is empty")}
		}
		return nil
	})
	cmd.Flags().StringVar(&p.configFile, "config", "", help)
	_ = cmd.MarkFlagFilename("config", "toml")
}

// mutuallyExclusive makes cmd refuse a command line that has more than one of the flags.
func mutuallyExclusive(cmd *cobra.Command, flags ...string) {
	addPreRun(cmd, func() error {
		var given []string
		for _, flag := range flags {
			if cmd.Flags().Changed(flag) {
				given = append(given, "--"+flag)
			}
		}
		if len(given) > 1 {
			return usageError{fmt.Errorf("%s cannot be used together; give one of them", strings.Join(given, " and "))}
		}
		return nil
	})
}

// addPreRun makes cmd call check before it runs, after the checks that were added earlier. The
// first error ends the command.
func addPreRun(cmd *cobra.Command, check func() error) {
	previous := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if previous != nil {
			if err := previous(cmd, args); err != nil {
				return err
			}
		}
		return check()
	}
}

// helpWidth is the width of help texts in columns.
const helpWidth = 90

// wrapText returns the words of a paragraph on lines of at most width columns.
func wrapText(text string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}
