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
		if !appliance.Reloaded(key) {
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
