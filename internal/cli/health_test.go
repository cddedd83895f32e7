package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// answers is a console that answers as it is told.
func answers(t *testing.T, pages map[string]string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			page = `{"error":"nobody watches the nodes: fleet.enabled is false"}`
		}
		if strings.Contains(page, `"ready":false`) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// well is an appliance with nodes so many of which are down.
func well(down, dropped int) map[string]string {
	return map[string]string{
		"/readyz":       `{"ready":true,"reasons":[]}`,
		"/api/v1/fleet": fmt.Sprintf(`{"nodes":200,"states":{"up":%d,"late":0,"down":%d,"stopped":0}}`, 200-down, down),
		"/api/v1/nodes": "web1\nweb2\nweb3\nweb4\nweb5\nweb6\n",
		"/metrics": fmt.Sprintf("# TYPE muster_adapter_dropped_total counter\nmuster_adapter_dropped_total{adapter=\"a\",reason=\"buffer\"} %d\n"+
			"muster_adapter_dropped_total{adapter=\"a\",reason=\"shutdown\"} 1\n# TYPE muster_broker_certificate_days gauge\nmuster_broker_certificate_days 90.25\n", dropped),
	}
}

func TestCheckHealth(t *testing.T) {
	short := well(0, 0)
	short["/readyz"] = `{"ready":false,"reasons":[{"code":"disk-short","what":"/data","detail":"3 % are free"}]}`
	alone := well(0, 0)
	delete(alone, "/api/v1/fleet")
	other := map[string]string{"/readyz": "<html>"}
	for label, test := range map[string]struct {
		pages  map[string]string
		args   []string
		status int
		out    string
	}{
		"well": {well(0, 0), []string{"--dropped", "5,10"}, 0,
			"MUSTER OK ready; 200 nodes; 0 down; 0 late; certificate for 90.2 days; 1 messages dropped; 0 messages rejected; 0 connections refused | " +
				"nodes=200 down=0;10;40 late=0;20;80 certificate=90.25;30:;7: dropped=1;5;10 rejected=0;1;1000 refused=0\n"},
		"down":            {well(12, 0), []string{"--dropped", ""}, 1, "MUSTER WARNING 12 down (web1 web2 web3 web4 web5 …); ready; 200 nodes;"},
		"many down":       {well(40, 0), nil, 2, "MUSTER CRITICAL 40 down (web1"},
		"too few":         {well(0, 0), []string{"--nodes", "300,250", "--dropped", ""}, 2, "MUSTER CRITICAL 200 nodes;"},
		"dropped":         {well(0, 0), nil, 2, "MUSTER CRITICAL 1 messages dropped;"},
		"certificate":     {well(0, 0), []string{"--certificate", "100,20", "--dropped", ""}, 1, "MUSTER WARNING certificate for 90.2 days;"},
		"not ready":       {short, []string{"--dropped", ""}, 2, "MUSTER CRITICAL disk-short /data: 3 % are free;"},
		"nobody watches":  {alone, []string{"--dropped", ""}, 3, `MUSTER UNKNOWN nobody watches the nodes: fleet.enabled is false; --down "" --late "" judges no nodes; ready`},
		"nobody needs to": {alone, []string{"--dropped", "", "--down", "", "--late", ""}, 0, "MUSTER OK ready; certificate"},
		"another server":  {other, nil, 3, "MUSTER UNKNOWN /readyz answers something else; is it the console of an appliance?\n"},
		"as text":         {well(0, 0), []string{"--format", "text", "--dropped", ""}, 0, "muster: OK\n  OK        ready\n"},
		"as JSON":         {well(0, 0), []string{"--format", "json", "--dropped", ""}, 0, `{"check":"muster","status":"OK","items":[{"name":"ready","status":"OK","text":"ready"}`},
		"as metrics":      {well(0, 0), []string{"--format", "prometheus", "--dropped", ""}, 0, "# HELP muster_check_status"},
	} {
		status, out, errOut := muster(t, append([]string{"check", "health", "--server", answers(t, test.pages)}, test.args...)...)
		if status != test.status || !strings.HasPrefix(out, test.out) || errOut != "" {
			t.Errorf("%s: status %d\n%s%s", label, status, out, errOut)
		}
	}
	if status, out, _ := muster(t, "check", "health", "--server", "127.0.0.1:1"); status != 3 || !strings.HasPrefix(out, "MUSTER UNKNOWN no appliance answers at http://127.0.0.1:1") || strings.Count(out, "\n") != 1 {
		t.Errorf("unreachable: %d %s", status, out)
	}
	for _, args := range [][]string{{"--down", "5"}, {"--format", "xml"}, {"--bogus"}, {"now"}, {"--config", ""}} {
		if status, _, errOut := muster(t, append([]string{"check", "health"}, args...)...); status != 3 || !strings.Contains(errOut, "Try: muster --help") {
			t.Errorf("%v: %d %s", args, status, errOut)
		}
	}
}

func TestCheckHealthRemembersCounts(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	for i, step := range []struct {
		dropped, status int
		out             string
	}{
		{4, 2, `5 messages dropped; `}, // since the start
		{4, 0, `0 messages dropped since `},
		{7, 2, `3 messages dropped since `},
		{1, 2, `2 messages dropped since `}, // it has started again
	} {
		status, out, errOut := muster(t, "check", "health", "--state", state, "--server", answers(t, well(0, step.dropped)))
		if status != step.status || !strings.Contains(out, step.out) || errOut != "" {
			t.Errorf("check %d: status %d\n%s%s", i, status, out, errOut)
		}
	}
	if files, err := filepath.Glob(filepath.Join(filepath.Dir(state), "*")); len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
	if err := os.WriteFile(state, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := muster(t, "check", "health", "--state", state, "--server", answers(t, well(0, 0)))
	if status != 3 || !regexp.MustCompile(`^MUSTER UNKNOWN \S+ is not what a check has written; remove it`).MatchString(out) {
		t.Errorf("broken state: %d %s", status, out)
	}
}
