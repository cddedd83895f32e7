package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExitStatusesAndWhatIsSaid(t *testing.T) {
	broken := file(t, "[broker]\nlisten = '4222'\nport = 1\n")
	good := file(t, "identity = 'collector1'\n")
	nobody := "http://127.0.0.1:1"
	for name, test := range map[string]struct {
		args     []string
		status   int
		out, err string
	}{
		"help":              {nil, 0, "Usage:", ""},
		"version":           {[]string{"version"}, 0, "muster ", ""},
		"version json":      {[]string{"version", "--json"}, 0, `"version":`, ""},
		"check":             {[]string{"check", "--config", good}, 0, "collector1", ""},
		"check defaults":    {[]string{"check"}, 0, "registration: request from *.broadcast.agent.registration", ""},
		"check broken":      {[]string{"check", "--config", broken}, 78, "", `appliance.toml:2: broker.listen: "4222" is not an address`},
		"check broken all":  {[]string{"check", "--config", broken}, 78, "", `appliance.toml:3: broker.port: unknown key`},
		"check json":        {[]string{"check", "--config", broken, "--json"}, 78, `"line": 2`, ""},
		"check json ok":     {[]string{"check", "--config", good, "--json"}, 0, `"ok": true`, ""},
		"run broken":        {[]string{"run", "--config", broken}, 78, "", "broker.port: unknown key"},
		"run missing":       {[]string{"run", "--config", "/none.toml"}, 78, "", "/none.toml: no such file or directory"},
		"unknown command":   {[]string{"fly"}, 2, "", `unknown command "fly"`},
		"unknown flag":      {[]string{"run", "--fast"}, 2, "", "unknown flag: --fast"},
		"too many":          {[]string{"run", "now"}, 2, "", `unknown command "now"`},
		"bad flag":          {[]string{"demo", "--nodes", "many"}, 2, "", `invalid argument "many"`},
		"no nodes":          {[]string{"demo", "--nodes", "0"}, 2, "", "--nodes 0 is not between 1 and 15000"},
		"no appliance":      {[]string{"streams", "--server", nobody}, 1, "", `connection refused); start one with "muster run"`},
		"no scheme":         {[]string{"streams", "--server", "127.0.0.1:1"}, 1, "", "no appliance answers at http://127.0.0.1:1 ("},
		"no appliance plan": {[]string{"streams", "plan", "--server", nobody, "--config", good}, 1, "", "no appliance answers"},
		"plan of what":      {[]string{"streams", "plan", "--server", nobody}, 2, "", "name the configuration of the appliance with --config"},
		"apply what":        {[]string{"streams", "apply", "--delete-messages"}, 2, "", "name the configuration of the appliance with --config"},
		"empty config":      {[]string{"run", "--config", ""}, 2, "", "--config: the file name is empty"},
		"completion":        {[]string{"completion", "bash"}, 0, "bash completion", ""},
	} {
		status, out, errOut := muster(t, test.args...)
		if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errOut, test.err) {
			t.Errorf("%s: status %d\nout %s\nerr %s", name, status, out, errOut)
		}
		if test.err != "" && out != "" {
			t.Errorf("%s: an error and output: %s", name, out)
		}
	}
}

func TestEveryCommandShowsTwoExamples(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" && (c.Parent() == nil || c.Parent().Name() != "completion") {
			if lines := strings.Count(c.Example, "\n") + 1; c.Example == "" || lines != 2 {
				t.Errorf("%s has %d examples", c.CommandPath(), lines)
			}
			_, help, _ := muster(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			if !strings.HasSuffix(help, "\nExamples:\n"+c.Example+"\n") {
				t.Errorf("the help of %s does not end with them:\n%s", c.CommandPath(), help)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&program{}).root())
}
