package cli

import (
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
)

func TestRunCommand_HelpNamesEveryReloadedKey(t *testing.T) {
	_, help, _ := muster(t, "run", "--help")
	help = strings.Join(strings.Fields(help), " ")
	reloaded := 0
	for _, key := range config.Paths(appliance.DefaultConfig()) {
		if !appliance.Reloadable(key) {
			continue
		}
		reloaded++
		if !strings.Contains(help, " "+key+",") && !strings.Contains(help, " "+key+".") {
			t.Errorf("the help of run does not name %s, which SIGHUP applies", key)
		}
	}
	if reloaded < 2 || !strings.Contains(help, "certificates") {
		t.Errorf("%d keys are reloaded, and the help is:\n%s", reloaded, help)
	}
}

func TestRunCommand_LogsItsAddressesAndEndsWithTheLedger(t *testing.T) {
	dir := t.TempDir()
	log, stop := startAppliance(t, labConfig(t, dir, ""))
	if d := loggedValue(t, log, "data"); d != dir {
		t.Errorf("data in %s, want %s", d, dir)
	}
	status, _, errOut := muster(t, "run", "--config", labConfig(t, dir, ""))
	if status != 1 || !strings.Contains(errOut, "is in use by another appliance") {
		t.Errorf("a second appliance: status %d, %s", status, errOut)
	}
	if status := stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, "stopped: adapter=registration received=0") || !strings.Contains(last, "balanced=true") {
		t.Errorf("the last line is %s", last)
	}
}
