package monitoring

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestThresholds(t *testing.T) {
	for _, test := range []struct {
		thresholds   string
		value, whole float64
		want         Status
	}{
		{"", 1e9, 0, OK},
		{"5,20", 4, 0, OK}, {"5,20", 5, 0, Warning}, {"5,20", 19, 0, Warning}, {"5,20", 20, 0, Critical},
		{"5,5", 5, 0, Critical}, {"0,1", 0, 0, Warning},
		{"90,50", 91, 0, OK}, {"90,50", 90, 0, Warning}, {"90,50", 50, 0, Critical}, {"90,50", 0, 0, Critical},
		{"1%,10%", 0, 200, OK}, {"1%,10%", 2, 200, Warning}, {"1%,10%", 20, 200, Critical}, {"1%,10%", 0, 0, OK},
		{"2.5%, 5%", 5, 200, Warning}, {"95%,90%", 200, 200, OK}, {"95%,90%", 190, 200, Warning}, {"95%,90%", 10, 200, Critical},
	} {
		thresholds, err := ParseThresholds(test.thresholds)
		if err != nil {
			t.Errorf("%s: %v", test.thresholds, err)
		}
		var r Result
		if have := r.Evaluate("x", "", test.value, test.whole, thresholds); have != test.want || r.Status() != test.want {
			t.Errorf("%g of %g with %q: %s, want %s", test.value, test.whole, test.thresholds, have, test.want)
		}
	}
	for _, text := range []string{"5", "5,", ",5", "5,10%", "5%,10", "a,b", "-1,5", "1,2,3", "NaN,1", "1,Inf", "%,%"} {
		if _, err := ParseThresholds(text); err == nil || !strings.Contains(err.Error(), "are no thresholds") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func example(t *testing.T) *Result {
	t.Helper()
	down, err := ParseThresholds("5%,20%")
	if err != nil {
		t.Fatal(err)
	}
	few, err := ParseThresholds("250,100")
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{}
	r.Evaluate("nodes", "200 nodes", 200, 0, few)
	r.Evaluate("down", "40 down (web1|web2)", 40, 200, down)
	r.Evaluate("late", "none late", 0, 200, Thresholds{})
	r.AddStatus("ready", "stream-unwritable:\nCHORIA_REGISTRATION", Critical)
	return r
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		"nagios": "MUSTER CRITICAL 40 down (web1/web2); stream-unwritable: CHORIA_REGISTRATION; 200 nodes; none late | nodes=200;250:;100: down=40;10;40 late=0\n",
		"json": `{"check":"muster","status":"CRITICAL","items":[{"name":"nodes","status":"WARNING","text":"200 nodes","value":200,"warning":250,"critical":100},` +
			`{"name":"down","status":"CRITICAL","text":"40 down (web1|web2)","value":40,"warning":10,"critical":40},{"name":"late","status":"OK","text":"none late","value":0},` +
			`{"name":"ready","status":"CRITICAL","text":"stream-unwritable:\nCHORIA_REGISTRATION"}]}` + "\n",
		"text": "muster: CRITICAL\n  WARNING   200 nodes\n  CRITICAL  40 down (web1/web2)\n  OK        none late\n  CRITICAL  stream-unwritable: CHORIA_REGISTRATION\n",
	} {
		var out bytes.Buffer
		if err := example(t).Write(&out, format, "muster"); err != nil || out.String() != want {
			t.Errorf("%s:\n%s%v", format, out.String(), err)
		}
	}
	var out bytes.Buffer
	r := example(t)
	r.AddStatus("ready", "again", OK)
	if err := r.Write(&out, "prometheus", "muster"); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&out)
	if err != nil || len(families["muster_check_value"].GetMetric()) != 3 || len(families["muster_check_item_status"].GetMetric()) != 4 ||
		families["muster_check_status"].GetMetric()[0].GetGauge().GetValue() != 2 {
		t.Errorf("%v %v", families, err)
	}
}

func TestUnknownIsWorseThanWarning(t *testing.T) {
	var r Result
	if r.Status() != OK {
		t.Errorf("nothing: %s", r.Status())
	}
	for _, step := range []struct{ add, want Status }{{Warning, Warning}, {Unknown, Unknown}, {Warning, Unknown}, {Critical, Critical}, {Unknown, Critical}} {
		if r.AddStatus("x", "", step.add); r.Status() != step.want {
			t.Errorf("with %s: %s", step.add, r.Status())
		}
	}
}
