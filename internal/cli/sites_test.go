package cli

import (
	"strings"
	"testing"
)

func TestSites_UsageErrors(t *testing.T) {
	for name, args := range map[string][]string{
		"two sites":    {"sites", "ams", "fra"},
		"no name":      {"sites", ""},
		"JSON and CSV": {"sites", "--json", "--csv"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, errOut := muster(t, args...); status != 2 {
				t.Errorf("status %d, %s", status, errOut)
			}
		})
	}
}

func TestSites_AreCompletedByTheShell(t *testing.T) {
	server := aHub().open(t, "")
	for _, test := range []struct{ args, want string }{
		{"sites --server SERVER ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"sites --server SERVER fra ", ":4\n"},
		{"nodes --server SERVER --site ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"node --server SERVER web2.example.net --site ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"sites --server http://127.0.0.1:1 ", ":4\n"}, // where nothing listens
	} {
		t.Run(test.args, func(t *testing.T) {
			args := strings.Split(strings.ReplaceAll("__complete "+test.args, "SERVER", server), " ")
			if status, out, errOut := muster(t, args...); status != 0 || out != test.want {
				t.Errorf("status %d, %q, %s; want %q", status, out, errOut, test.want)
			}
		})
	}
}

// An appliance of a version without sites and hubs answers that it has no such endpoint.
func TestSites_OlderAppliances(t *testing.T) {
	answers := withAnswer(readyAnswers(0, 0), "/varz", `{"server_name":"collector1"}`)
	answers = withAnswer(answers, "/api/v1/streams", `{"streams":[],"changes":[]}`)
	for _, path := range []string{"/api/v1/sites", "/api/v1/forward"} {
		answers = withAnswer(answers, path, `{"code":"not-found","error":"the API has no endpoint"}`)
	}
	url := fakeConsole(t, answers)
	for _, args := range []string{"status", "fleet", "check health --dropped=", "nodes"} {
		t.Run(args, func(t *testing.T) {
			status, out, errOut := muster(t, append(strings.Fields(args), "--server", url)...)
			if status != 0 {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
}
