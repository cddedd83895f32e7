package monitoring

import (
	"bytes"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// exampleResult has items of every kind: high or low values are bad, without thresholds, without a
// value, and texts with characters that the formats reserve.
func exampleResult(t *testing.T) *Result {
	t.Helper()
	r := &Result{}
	r.Evaluate("nodes", "200 nodes", 200, 0, parse(t, "250,100"))
	r.Evaluate("down", "40 down (web1|web2)", 40, 200, parse(t, "5%,20%"))
	r.Evaluate("late", "none late", 0, 200, Thresholds{})
	r.AddStatus("ready", "stream-unwritable:\nCHORIA_REGISTRATION", Critical)
	return r
}

func TestResult_Write(t *testing.T) {
	for format, want := range map[string]string{
		"nagios": "MUSTER CRITICAL 40 down (web1/web2); stream-unwritable: CHORIA_REGISTRATION; 200 nodes; none late" +
			" | nodes=200;250:;100: down=40;10;40 late=0\n",
		"json": `{"check":"muster","status":"CRITICAL","items":[` +
			`{"name":"nodes","status":"WARNING","text":"200 nodes","value":200,"warning":250,"critical":100},` +
			`{"name":"down","status":"CRITICAL","text":"40 down (web1|web2)","value":40,"warning":10,"critical":40},` +
			`{"name":"late","status":"OK","text":"none late","value":0},` +
			`{"name":"ready","status":"CRITICAL","text":"stream-unwritable:\nCHORIA_REGISTRATION"}]}` + "\n",
		"text": "muster: CRITICAL\n  WARNING   200 nodes\n  CRITICAL  40 down (web1/web2)\n  OK        none late\n" +
			"  CRITICAL  stream-unwritable: CHORIA_REGISTRATION\n",
	} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			if err := exampleResult(t).Write(&out, format, "muster"); err != nil || out.String() != want {
				t.Errorf("%v, have\n%swant\n%s", err, &out, want)
			}
		})
	}
}

func TestResult_WritesMetricsThatPrometheusParses(t *testing.T) {
	var out bytes.Buffer
	r := exampleResult(t)
	r.AddStatus("ready", "again", OK)
	if err := r.Write(&out, "prometheus", "muster"); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&out)
	if err != nil || len(families["muster_check_value"].GetMetric()) != 3 ||
		len(families["muster_check_item_status"].GetMetric()) != 4 ||
		families["muster_check_status"].GetMetric()[0].GetGauge().GetValue() != 2 {
		t.Errorf("%v %v", families, err)
	}
}
