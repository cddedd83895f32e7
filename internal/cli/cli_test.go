package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRun_ExitStatusAndOutput(t *testing.T) {
	broken := writeConfig(t, "[broker]\nlisten = '4222'\nport = 1\n")
	good := writeConfig(t, "identity = 'collector1'\n")
	const closed = "http://127.0.0.1:1" // where nothing listens
	for name, test := range map[string]struct {
		args     []string
		status   int
		out, err string // contained in standard output and standard error
	}{
		"help":           {nil, 0, "Usage:", ""},
		"version":        {[]string{"version"}, 0, "muster ", ""},
		"version json":   {[]string{"version", "--json"}, 0, `"version":`, ""},
		"completion":     {[]string{"completion", "bash"}, 0, "bash completion", ""},
		"check":          {[]string{"check", "--config", good}, 0, "collector1", ""},
		"check json":     {[]string{"check", "--config", good, "--json"}, 0, `"ok": true`, ""},
		"check defaults": {[]string{"check"}, 0, "registration: request from *.broadcast.agent.registration", ""},
		"check with a bad value": {[]string{"check", "--config", broken}, 78, "",
			`appliance.toml:2: broker.listen: "4222" is not an address`},
		"check with an unknown key": {[]string{"check", "--config", broken}, 78, "",
			"appliance.toml:3: broker.port: unknown key"},
		"check json with problems": {[]string{"check", "--config", broken, "--json"}, 78, `"line": 2`, ""},
		"run with problems":        {[]string{"run", "--config", broken}, 78, "", "broker.port: unknown key"},
		"run without the file": {[]string{"run", "--config", "/none.toml"}, 78, "",
			"/none.toml: no such file or directory"},
		"run with an empty file name": {[]string{"run", "--config", ""}, 2, "",
			"--config: the file name is empty"},
		"unknown command":         {[]string{"fly"}, 2, "", `unknown command "fly"`},
		"unknown flag":            {[]string{"run", "--fast"}, 2, "", "unknown flag: --fast"},
		"too many arguments":      {[]string{"run", "now"}, 2, "", `unknown command "now"`},
		"value of the wrong type": {[]string{"demo", "--nodes", "many"}, 2, "", `invalid argument "many"`},
		"value out of range": {[]string{"demo", "--nodes", "0"}, 2, "",
			"--nodes 0 is not between 1 and 15000"},
		"exclusive flags": {[]string{"fleet", "--json", "--csv"}, 2, "",
			"--json and --csv cannot be used together"},
		"no appliance": {[]string{"streams", "--server", closed}, 1, "",
			`connection refused); start one with "muster run"`},
		"no appliance, without scheme": {[]string{"streams", "--server", "127.0.0.1:1"}, 1, "",
			"no appliance answers at http://127.0.0.1:1 ("},
		"no appliance for plan": {[]string{"streams", "plan", "--server", closed, "--config", good}, 1, "",
			"no appliance answers"},
		"plan without configuration": {[]string{"streams", "plan", "--server", closed}, 2, "",
			"name the configuration of the appliance with --config"},
		"apply without configuration": {[]string{"streams", "apply", "--delete-messages"}, 2, "",
			"name the configuration of the appliance with --config"},
		"monitoring plugin, wrong flag": {[]string{"check", "health", "--fast"}, 3, "", "unknown flag: --fast"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errOut := muster(t, test.args...)
			if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errOut, test.err) {
				t.Errorf("status %d, want %d\nstandard output: %s\nstandard error: %s", status, test.status, out, errOut)
			}
			if test.err != "" && out != "" {
				t.Errorf("an error and output: %s", out)
			}
		})
	}
}

func TestRoot_EveryCommandHasTwoExamplesAtTheEndOfItsHelp(t *testing.T) {
	visitCommands((&program{}).root(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if strings.HasPrefix(path, "muster completion") || path == "muster help" { // made by cobra
			return
		}
		if lines := strings.Count(cmd.Example, "\n") + 1; cmd.Example == "" || lines != 2 {
			t.Errorf("%s has %d examples", path, lines)
		}
		_, help, _ := muster(t, append(strings.Fields(path)[1:], "--help")...)
		if !strings.HasSuffix(help, "\nExamples:\n"+cmd.Example+"\n") {
			t.Errorf("the help of %s does not end with its examples:\n%s", path, help)
		}
	})
}
