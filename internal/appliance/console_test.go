package appliance_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
)

// A web page must not be able to read any endpoint: neither as another origin nor under a name of
// its own.
func TestConsole_AnswersNoWebPage(t *testing.T) {
	a := testkit.Appliance(t, "")
	for _, path := range []string{
		"/readyz", "/metrics", "/choria/", "/choria/metrics", "/choria/prometheus", "/api/v1/fleet", "/api/v1/nodes",
		"/varz", "/connz", "/routez", "/gatewayz", "/leafz", "/subsz", "/jsz", "/accountz", "/accstatz", "/ipqueuesz",
		"/healthz", "/connz?limit=x",
	} {
		t.Run(path, func(t *testing.T) {
			for host, status := range map[string]int{a.ConsoleAddress(): 0, "evil.example:8222": http.StatusMisdirectedRequest} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.ConsoleAddress()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				r.Header.Set("Origin", "http://evil.example:8222")
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if status != 0 && answer.StatusCode != status || status == 0 && answer.StatusCode == http.StatusNotFound {
					t.Errorf("%s: %s: %.100s", host, answer.Status, body)
				}
				for name := range answer.Header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s: %s: %s", host, name, answer.Header.Get(name))
					}
				}
			}
		})
	}
	_, metrics := testkit.Get(t, a, "/metrics")
	for _, want := range []string{
		`muster_console_refused_total{reason="unknown-host"} 19`, `muster_console_refused_total{reason="max-connections"} 0`,
		"muster_console_connections ",
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
