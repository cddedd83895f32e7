package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// visitCommands calls visit for cmd and every command below it.
func visitCommands(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		visitCommands(sub, visit)
	}
}

func TestConfigFlag_HelpNamesTheDefault(t *testing.T) {
	const lab = "default: the built-in lab on loopback"
	defaults := map[string]string{ // of the commands that do not ask the installed appliance
		"muster run":                 lab,
		"muster check":               lab,
		"muster streams plan":        "default: the lab in ./muster-data",
		"muster streams apply":       "default: the lab in ./muster-data",
		"muster streams accept-loss": "default: the lab in ./muster-data",
		"muster bench":               "the appliance that --server names",
	}
	visitCommands((&program{}).root(), func(cmd *cobra.Command) {
		flag := cmd.Flags().Lookup("config")
		if flag == nil {
			return
		}
		want, known := defaults[cmd.CommandPath()]
		if !known {
			want = "default: /etc/muster/appliance.toml if it is readable"
		}
		if !strings.Contains(flag.Usage, want) {
			t.Errorf("%s: the help of --config is %q, want it to contain %q", cmd.CommandPath(), flag.Usage, want)
		}
	})
}
