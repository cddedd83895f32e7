package appliance_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
)

// family is a metric as a scrape describes it.
type family struct {
	help, kind string
	labels     []string // their names, of the first series; sorted
}

var series = regexp.MustCompile(`^([a-z_]+?)(_sum|_count)?(?:\{(.*)\})? `)

// families returns the metrics of a scrape whose names begin with the prefix.
func families(scrape, prefix string) map[string]family {
	all := map[string]family{}
	for line := range strings.Lines(scrape) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(words) == 4 && words[0] == "#" && strings.HasPrefix(words[2], prefix) {
			f := all[words[2]]
			if words[1] == "HELP" {
				f.help = words[3]
			} else {
				f.kind = words[3]
			}
			all[words[2]] = f
			continue
		}
		if m := series.FindStringSubmatch(line); m != nil {
			f, known := all[m[1]]
			if !known || f.labels != nil {
				continue
			}
			f.labels = []string{}
			for _, pair := range strings.Split(m[3], ",") {
				if name, _, ok := strings.Cut(pair, "="); ok {
					f.labels = append(f.labels, name)
				}
			}
			slices.Sort(f.labels)
			all[m[1]] = f
		}
	}
	return all
}

func TestMetrics_ChoriaEndpointMatchesChoria(t *testing.T) {
	t.Parallel()
	captured, err := os.ReadFile("testdata/prometheus-mtls-with-adapter.txt")
	if err != nil {
		t.Fatal(err)
	}
	a := testkit.Appliance(t, "")
	nc := testkit.Connect(t, a)
	if err := nc.Publish(testkit.Subject, testkit.Raw(t, "v1-mtls/registration-file.transport.json")); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	_, scrape := testkit.Get(t, a, "/choria/prometheus")
	if status, _ := testkit.Get(t, a, "/choria/metrics"); status != http.StatusOK {
		t.Errorf("/choria/metrics answers %d", status)
	}
	for _, prefix := range []string{
		"choria_adapter_", "choria_network_", "choria_protocol_", "choria_connector_", "choria_build_info",
	} {
		want, have := families(string(captured), prefix), families(scrape, prefix)
		if len(want) == 0 {
			t.Fatalf("no metrics %s in the capture", prefix)
		}
		for name, w := range want {
			if h := have[name]; h.help != w.help || h.kind != w.kind || !slices.Equal(h.labels, w.labels) {
				t.Errorf("%s: have %+v, want %+v", name, h, w)
			}
		}
	}
	for _, want := range []string{
		`choria_adapter_received_msgs{identity="appliance.test",name="registration.0",role="input"} 1`,
		`choria_adapter_received_msgs{identity="appliance.test",name="registration.0",role="output"} 1`,
		`choria_adapter_bytes{identity="appliance.test",name="registration.0",role="input"} 3433`,
		`choria_adapter_bytes{identity="appliance.test",name="registration.0",role="output"} 549`,
		`choria_adapter_errors{identity="appliance.test",name="registration.0",role="input"} 0`,
		`choria_adapter_queue_length{identity="appliance.test",name="registration"} 0`,
		`choria_adapter_time_count{identity="appliance.test",name="registration.0",role="input"} 1`,
		`choria_connector_initial_connect_time_count 2`, // one to receive, one to publish
		`choria_connector_initial_connection_attempts 0`,
		`choria_connector_connection_closed 0`,
	} {
		if !strings.Contains(scrape, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestMetrics_AboutIsThatOfChoria checks the document at /choria/, whose form monitoring of Choria expects.
func TestMetrics_AboutIsThatOfChoria(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "[broker]\nmax_connections = 123\n")
	status, text := testkit.Get(t, a, "/choria/")
	var about map[string]any
	if err := json.Unmarshal([]byte(text), &about); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v %s", status, err, text)
	}
	build, system := about["build"].(map[string]any), about["system"].(map[string]any)
	for key, want := range map[string]any{
		"version": "test", "sha": "unknown", "build_date": "unknown", "license": "Apache-2.0",
		"tls": false, "secure": false, "go": runtime.Version(), "max_broker_clients": 123.0,
	} {
		if build[key] != want {
			t.Errorf("build.%s is %v, want %v", key, build[key], want)
		}
	}
	if rss, _ := system["rss"].(float64); rss < 1<<20 || system["cpu_cores"] != float64(runtime.NumCPU()) {
		t.Errorf("system is %v", system)
	}
	if _, ok := about["config_file"].(string); !ok || about["identity"] != "appliance.test" {
		t.Errorf("have %s", text)
	}
	if status, _ := testkit.Get(t, a, "/choria/other"); status != http.StatusNotFound {
		t.Errorf("/choria/other answers %d", status)
	}
}

func TestMetrics_AreTheLedger(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	nc := testkit.Connect(t, a)
	good := testkit.Raw(t, "v1-mtls/registration-file.transport.json")
	for _, raw := range [][]byte{good, good, []byte("{")} {
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "registration", 3)
	_, scrape := testkit.Get(t, a, "/metrics")
	for _, want := range []string{
		`muster_adapter_received_total{adapter="registration"} 3`,
		`muster_adapter_stored_total{adapter="registration"} 1`,
		`muster_adapter_duplicate_total{adapter="registration"} 1`,
		`muster_adapter_rejected_total{adapter="registration",reason="malformed"} 1`,
		`muster_adapter_rejected_total{adapter="registration",reason="schema"} 0`,
		`muster_adapter_rejected_total{adapter="registration",reason="refused"} 0`,
		`muster_adapter_dropped_total{adapter="registration",reason="buffer"} 0`,
		`muster_adapter_dropped_total{adapter="registration",reason="connection"} 0`,
		`muster_adapter_dropped_total{adapter="registration",reason="shutdown"} 0`,
		`muster_adapter_retries_total{adapter="registration"} 0`,
		`muster_adapter_bytes_total{adapter="registration"} 6867`,
		`muster_adapter_rejects_unrecorded_total{adapter="registration"} 0`,
		`muster_adapter_pending{adapter="registration"} 0`,
	} {
		if !strings.Contains(scrape, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
}
