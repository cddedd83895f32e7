package cli

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
)

// manualPage returns the source of a page without bold type. If groff is installed, it must format
// the page without a warning.
func manualPage(t *testing.T, args ...string) string {
	t.Helper()
	status, page, errOut := muster(t, append([]string{"manual"}, args...)...)
	if status != 0 || errOut != "" {
		t.Fatalf("%d %s", status, errOut)
	}
	if !strings.HasPrefix(page, ".nh\n.TH ") {
		t.Fatalf("not a manual page:\n%.100s", page)
	}
	if groff, err := exec.LookPath("groff"); err == nil {
		cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", "-P-cbou")
		cmd.Stdin = strings.NewReader(page)
		var warnings strings.Builder
		cmd.Stderr = &warnings
		if _, err := cmd.Output(); err != nil || warnings.Len() > 0 {
			t.Errorf("groff: %v\n%s", err, &warnings)
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(page, `\fB`, ""), `\fP`, "")
}

func TestManual_ProgramPageHasEveryCommand(t *testing.T) {
	page := manualPage(t)
	root := (&program{}).root()
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "completion" && !strings.Contains(page, "muster "+cmd.Name()) {
			t.Errorf("muster(1) does not have the command %s", cmd.Name())
		}
	}
	for _, text := range []string{"muster check health", "--where", "EXIT STATUS", "78", "default: 5%,20%"} {
		if !strings.Contains(page, text) {
			t.Errorf("muster(1) does not contain %q", text)
		}
	}
	for _, hidden := range []string{"bench generate", "idle hold", "--direct"} {
		if strings.Contains(page, hidden) {
			t.Errorf("muster(1) contains %q, which is of a hidden command", hidden)
		}
	}
}

func TestManual_ConfigPageHasEveryKey(t *testing.T) {
	page := manualPage(t, "appliance.toml")
	for _, path := range config.Paths(appliance.DefaultConfig()) {
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.Contains(page, name+" = ") && !strings.Contains(page, "["+path+"]") {
			t.Errorf("appliance.toml(5) does not have the key %s", path)
		}
	}
	for _, section := range []string{
		"[broker.tls]", "[stream.NAME]", "[adapter.NAME.ingest]", "[broker.issuers]", "[console.tls]",
	} {
		if !strings.Contains(page, section) {
			t.Errorf("appliance.toml(5) does not have the table %s", section)
		}
	}
}

func TestManual_RefusesOtherPages(t *testing.T) {
	status, _, errOut := muster(t, "manual", "nothing")
	if status != 2 || !strings.Contains(errOut, "there are two pages") {
		t.Errorf("%d %s", status, errOut)
	}
}
