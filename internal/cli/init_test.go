package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInit_ReplacesAConfigurationWithoutSettings(t *testing.T) {
	shipped, err := os.ReadFile("../../appliance.toml")
	if err != nil {
		t.Fatal(err)
	}
	const line = `memory_limit = "auto"`
	for name, test := range map[string]struct {
		line   string // replaces the line of the shipped file
		status int
	}{
		"the shipped file": {line, statusOK},
		"a changed value":  {"memory_limit = '1GiB'", statusFailed},
		"an invalid value": {"memory_limit = 5", statusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "appliance.toml"), strings.Replace(string(shipped), line, test.line, 1))
			status, _, errOut := muster(t, "init", "--dir", dir, "--name", "collector1.example.net")
			refused := strings.Contains(errOut, "appliance.toml exists already; --force overwrites it")
			if status != test.status || refused != (test.status == statusFailed) {
				t.Errorf("%d %s", status, errOut)
			}
		})
	}
}
