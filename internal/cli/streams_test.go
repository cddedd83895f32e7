package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

func TestStreams_ListPlanAndApply(t *testing.T) {
	dir := t.TempDir()
	config := labConfig(t, dir, "")
	log, _ := startAppliance(t, config)
	server := loggedValue(t, log, "console")

	status, out, errOut := muster(t, "streams", "--server", server)
	if status != 0 || !strings.Contains(out, "CHORIA_REGISTRATION") ||
		!strings.Contains(out, "KV_CHORIA_LEADER_ELECTION") {
		t.Errorf("streams: %d %s %s", status, out, errOut)
	}
	status, out, _ = muster(t, "streams", "--server", server, "--json")
	var list console.Streams
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil ||
		len(list.Streams) != 10 || list.Changes == nil {
		t.Errorf("streams --json: %d %v %s", status, err, out)
	}
	plan := func(config string) string {
		_, out, _ := muster(t, "streams", "plan", "--server", server, "--config", config)
		return out
	}
	if out = plan(config); out != "All streams are as declared.\n" {
		t.Errorf("plan: %s", out)
	}

	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := writeConfig(t, string(text)+"[stream.CHORIA_EVENTS]\nmax_age = '2d'\nmax_bytes = '64MiB'\n"+
		"storage = 'memory'\n[stream.MINE]\nsubjects = 'mine'\n")
	out = plan(changed)
	for _, want := range []string{
		"create MINE",
		"recreate CHORIA_EVENTS: storage file → memory, max_age 1d → 2d, max_bytes 512MiB → 64MiB " +
			"(storage cannot be changed; recreating deletes 0 messages and all consumers)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not contain %q:\n%s", want, out)
		}
	}
	status, out, errOut = muster(t, "streams", "apply", "--config", changed)
	if status != 1 || !strings.Contains(out, "done: create MINE") ||
		!strings.Contains(out, "not done: recreate CHORIA_EVENTS") ||
		!strings.Contains(errOut, "1 of 2 changes were not made") {
		t.Errorf("apply: %d %s %s", status, out, errOut)
	}
	status, out, _ = muster(t, "streams", "apply", "--config", changed, "--delete-messages", "--json")
	if status != 0 || !strings.Contains(out, `"done": true`) {
		t.Errorf("apply --delete-messages: %d %s", status, out)
	}
	if out = plan(changed); out != "All streams are as declared.\n" {
		t.Errorf("plan afterwards: %s", out)
	}
}

func TestStreams_ApplyUsesTheAdminTokenOverTLS(t *testing.T) {
	certs := t.TempDir()
	authority.New(t, time.Now()).Files(certs, nil, "collector1")
	dir := t.TempDir()
	config := labConfig(t, dir, fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n"+
		"[stream.MINE]\nsubjects = 'mine'\n",
		filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem"), filepath.Join(certs, "ca.pem")))
	_, stop := startAppliance(t, config)
	status, out, errOut := muster(t, "streams", "apply", "--config", config)
	if status != 0 || out != "All streams are as declared.\n" {
		t.Errorf("%d %s %s", status, out, errOut)
	}
	info, err := os.Stat(filepath.Join(dir, "admin.token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte("guessed"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := "Authorization Violation; the token in " + filepath.Join(dir, "admin.token") + " is not that of"
	if status, _, errOut = muster(t, "streams", "apply", "--config", config); status != 1 ||
		!strings.Contains(errOut, wrong) {
		t.Errorf("with a guessed token: %d %s", status, errOut)
	}
	if err := os.Remove(filepath.Join(dir, "admin.token")); err != nil {
		t.Fatal(err)
	}
	if status, _, errOut = muster(t, "streams", "apply", "--config", config); status != 1 ||
		!strings.Contains(errOut, "admin.token does not exist: use the configuration") {
		t.Errorf("without a token: %d %s", status, errOut)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "admin.token")); err == nil {
		t.Error("the token is still there after the appliance has stopped")
	}
}
