package cli

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
)

// manual is a page as man would show it, where there is one; its source otherwise.
func manual(t *testing.T, args ...string) string {
	t.Helper()
	status, page, errOut := muster(t, append([]string{"manual"}, args...)...)
	if status != 0 || errOut != "" {
		t.Fatalf("%d %s", status, errOut)
	}
	if !strings.HasPrefix(page, ".nh\n.TH ") {
		t.Fatalf("no page:\n%.100s", page)
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

func TestTheManualHasEveryCommandAndEveryKey(t *testing.T) {
	page := manual(t)
	root := (&program{}).root()
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "completion" && !strings.Contains(page, "muster "+cmd.Name()) {
			t.Errorf("no %s in muster(1)", cmd.Name())
		}
	}
	for _, want := range []string{"--disconnect", "muster check health", "--where", "EXIT STATUS", "78"} {
		if has := strings.Contains(page, want); has == (want == "--disconnect") {
			t.Errorf("%s in muster(1): %v", want, has)
		}
	}
	page = manual(t, "appliance.toml")
	for _, path := range config.Paths(appliance.DefaultConfig()) {
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.Contains(page, name+" = ") && !strings.Contains(page, "["+path+"]") {
			t.Errorf("no %s in appliance.toml(5)", path)
		}
	}
	for _, section := range []string{"[broker.tls]", "[stream.NAME]", "[adapter.NAME.ingest]", "[broker.issuers]", "[console.tls]"} {
		if !strings.Contains(page, section) {
			t.Errorf("no %s in appliance.toml(5)", section)
		}
	}
	if status, _, errOut := muster(t, "manual", "nothing"); status != 2 || !strings.Contains(errOut, "there are two pages") {
		t.Errorf("%d %s", status, errOut)
	}
}
