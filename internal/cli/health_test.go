package cli

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fakeConsole serves fixed answers by path. A path without one answers that the fleet view is
// disabled.
func fakeConsole(t *testing.T, answers map[string]string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			answer = `{"code":"fleet-disabled","error":"the fleet view is disabled: fleet.enabled is false"}`
		}
		switch {
		case strings.HasPrefix(answer, `{"code":`):
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(answer, `{"ready":false`):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// readyAnswers returns the answers of a ready appliance with 200 nodes, of which the given number is
// down. It dropped dropped+1 messages.
func readyAnswers(down, dropped int) map[string]string {
	metrics := `# TYPE muster_adapter_dropped_total counter
muster_adapter_dropped_total{adapter="a",reason="buffer"} %d
muster_adapter_dropped_total{adapter="a",reason="shutdown"} 1
# TYPE muster_broker_certificate_days gauge
muster_broker_certificate_days 90.25
`
	return map[string]string{
		"/readyz":       `{"ready":true,"reasons":[]}`,
		"/api/v1/fleet": fmt.Sprintf(`{"nodes":200,"states":{"up":%d,"late":0,"down":%d,"stopped":0}}`, 200-down, down),
		"/api/v1/nodes": "web1\nweb2\nweb3\nweb4\nweb5\nweb6\n",
		"/metrics":      fmt.Sprintf(metrics, dropped),
	}
}

// withAnswer returns the answers with one of them replaced; empty: removed.
func withAnswer(answers map[string]string, path, answer string) map[string]string {
	answers = maps.Clone(answers)
	answers[path] = answer
	if answer == "" {
		delete(answers, path)
	}
	return answers
}

func TestHealth_ReportsStatusAndMeasurements(t *testing.T) {
	notReady := withAnswer(readyAnswers(0, 0), "/readyz",
		`{"ready":false,"reasons":[{"code":"disk-short","what":"/data","detail":"3 % are free"}]}`)
	lost := withAnswer(readyAnswers(0, 0), "/readyz", `{"ready":true,"reasons":[],"warnings":[`+
		`{"code":"stream-lost","what":"S","detail":"7 messages are missing"}]}`)
	restored := withAnswer(readyAnswers(0, 0), "/readyz", `{"ready":true,"reasons":[],"warnings":[`+
		`{"code":"stream-restored","what":"S","detail":"its configuration was damaged"}]}`)
	connected := withAnswer(readyAnswers(0, 0), "/api/v1/fleet",
		`{"nodes":300,"states":{"up":180,"late":0,"down":20,"stopped":0,"connected":100}}`)
	noFleet := withAnswer(readyAnswers(0, 0), "/api/v1/fleet", "")
	for _, test := range []struct {
		name    string
		answers map[string]string
		args    []string
		status  int
		out     string // how the output begins; SERVER: the URL of the console
	}{
		{
			"ok", readyAnswers(0, 0), []string{"--dropped", "5,10"}, 0,
			"MUSTER OK ready; 200 nodes; 0 down; 0 late; certificate expires in 90.2 days; 1 messages dropped; " +
				"0 messages rejected; 0 connections refused | nodes=200 down=0;10;40 late=0;20;80 " +
				"certificate=90.25;30:;7: dropped=1;5;10 rejected=0;1;1000 refused=0\n",
		},
		{
			"some nodes down", readyAnswers(12, 0), []string{"--dropped", ""}, 1,
			"MUSTER WARNING 12 down (web1 web2 web3 web4 web5 …); ready; 200 nodes;",
		},
		{"many nodes down", readyAnswers(40, 0), nil, 2, "MUSTER CRITICAL 40 down (web1"},
		{
			"nodes that have not registered do not count", connected, []string{"--down", "5%,10%", "--dropped", ""}, 2,
			"MUSTER CRITICAL 20 down (web1 web2 web3 web4 web5 …); ready; 200 nodes;",
		},
		{
			"too few nodes", readyAnswers(0, 0), []string{"--nodes", "300,250", "--dropped", ""}, 2,
			"MUSTER CRITICAL 200 nodes;",
		},
		{"messages dropped", readyAnswers(0, 0), nil, 2, "MUSTER CRITICAL 1 messages dropped;"},
		{
			"certificate expires soon", readyAnswers(0, 0), []string{"--certificate", "100,20", "--dropped", ""}, 1,
			"MUSTER WARNING certificate expires in 90.2 days;",
		},
		{
			"not ready", notReady, []string{"--dropped", ""}, 2,
			"MUSTER CRITICAL disk-short /data: 3 % are free;",
		},
		{
			"lost messages", lost, []string{"--dropped", ""}, 2,
			"MUSTER CRITICAL stream-lost S: 7 messages are missing; ready;",
		},
		{
			"a restored stream", restored, []string{"--dropped", ""}, 1,
			"MUSTER WARNING stream-restored S: its configuration was damaged; ready;",
		},
		{
			"fleet view disabled", noFleet, []string{"--dropped", ""}, 3,
			`MUSTER UNKNOWN the fleet view is disabled: fleet.enabled is false; ` +
				`--down "" --late "" turns the checks of nodes off; ready`,
		},
		{
			"fleet view disabled and not checked", noFleet, []string{"--dropped", "", "--down", "", "--late", ""}, 0,
			"MUSTER OK ready; certificate",
		},
		{
			"another server", map[string]string{"/readyz": "<html>"}, nil, 3,
			"MUSTER UNKNOWN SERVER/readyz gave an unexpected answer; is it the console of an appliance?\n",
		},
		{
			"text", readyAnswers(0, 0), []string{"--format", "text", "--dropped", ""}, 0,
			"muster: OK\n  OK        ready\n",
		},
		{
			"JSON", readyAnswers(0, 0), []string{"--format", "json", "--dropped", ""}, 0,
			`{"check":"muster","status":"OK","items":[{"name":"ready","status":"OK","text":"ready"}`,
		},
		{
			"Prometheus", readyAnswers(0, 0), []string{"--format", "prometheus", "--dropped", ""}, 0,
			"# HELP muster_check_status",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := fakeConsole(t, test.answers)
			status, out, errOut := muster(t, append([]string{"check", "health", "--server", url}, test.args...)...)
			out = strings.ReplaceAll(out, url, "SERVER")
			if status != test.status || !strings.HasPrefix(out, test.out) || errOut != "" {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
}

func TestHealth_ReportsUnknownForUnreachableConsole(t *testing.T) {
	status, out, _ := muster(t, "check", "health", "--server", "127.0.0.1:1")
	want := "MUSTER UNKNOWN no appliance answers at http://127.0.0.1:1"
	if status != 3 || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
		t.Errorf("%d %s", status, out)
	}
}

// A usage error is UNKNOWN to monitoring, because 2 would be CRITICAL.
func TestHealth_ExitsUnknownForUsageErrors(t *testing.T) {
	for _, args := range []string{"--down 5", "--format xml", "--bogus", "now", "--config="} {
		t.Run(args, func(t *testing.T) {
			status, _, errOut := muster(t, append([]string{"check", "health"}, strings.Fields(args)...)...)
			if status != 3 || !strings.Contains(errOut, "Try: muster --help") {
				t.Errorf("%d %s", status, errOut)
			}
		})
	}
}

func TestHealthState_CountsSinceTheLastCheck(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	for _, step := range []struct { // one after the other
		name            string
		dropped, status int
		out             string
	}{
		{"first check counts since the start", 4, 2, `5 messages dropped; `},
		{"nothing new", 4, 0, `0 messages dropped since `},
		{"three more", 7, 2, `3 messages dropped since `},
		{"counter restarted", 1, 2, `2 messages dropped since `},
	} {
		t.Run(step.name, func(t *testing.T) {
			url := fakeConsole(t, readyAnswers(0, step.dropped))
			status, out, errOut := muster(t, "check", "health", "--state", state, "--server", url)
			if status != step.status || !strings.Contains(out, step.out) || errOut != "" {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
	if files, err := filepath.Glob(filepath.Join(filepath.Dir(state), "*")); len(files) != 1 {
		t.Errorf("temporary files are left: %v, %v", files, err)
	}
}

func TestHealthState_ReportsUnknownForBrokenFile(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(state, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := muster(t, "check", "health", "--state", state, "--server", fakeConsole(t, readyAnswers(0, 0)))
	want := regexp.MustCompile(`^MUSTER UNKNOWN \S+ is not a state file of muster check health; remove it`)
	if status != 3 || !want.MatchString(out) {
		t.Errorf("%d %s", status, out)
	}
}

func TestConflictText(t *testing.T) {
	for want, names := range map[string][]string{
		"1 identity is used by two nodes (web1)":                {"web1"},
		"2 identities are used by two nodes each (web1 web2)":   {"web1", "web2"},
		"6 identities are used by two nodes each (a b c d e …)": {"a", "b", "c", "d", "e", "f"},
	} {
		if have := conflictText(names); have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
}
