package monitoring

import (
	"fmt"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) Thresholds {
	t.Helper()
	thresholds, err := ParseThresholds(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return thresholds
}

func TestResult_Evaluate(t *testing.T) {
	for _, test := range []struct {
		thresholds   string
		value, total float64
		want         Status
	}{
		{"", 1e9, 0, OK},
		{"5,20", 4, 0, OK},
		{"5,20", 5, 0, Warning},
		{"5,20", 19, 0, Warning},
		{"5,20", 20, 0, Critical},
		{"5,5", 5, 0, Critical},
		{"0,1", 0, 0, Warning},
		{"90,50", 91, 0, OK},
		{"90,50", 90, 0, Warning},
		{"90,50", 50, 0, Critical},
		{"90,50", 0, 0, Critical},
		{"1%,10%", 0, 200, OK},
		{"1%,10%", 2, 200, Warning},
		{"1%,10%", 20, 200, Critical},
		{"1%,10%", 0, 0, OK},
		{"2.5%, 5%", 5, 200, Warning},
		{"95%,90%", 200, 200, OK},
		{"95%,90%", 190, 200, Warning},
		{"95%,90%", 10, 200, Critical},
	} {
		t.Run(fmt.Sprintf("%g of %g with %q", test.value, test.total, test.thresholds), func(t *testing.T) {
			var r Result
			have := r.Evaluate("x", "", test.value, test.total, parse(t, test.thresholds))
			if have != test.want || r.Status() != test.want {
				t.Errorf("status %s, result %s, want %s", have, r.Status(), test.want)
			}
		})
	}
}

func TestParseThresholds_RefusesOtherText(t *testing.T) {
	for _, text := range []string{
		"5", "5,", ",5", "5,10%", "5%,10", "a,b", "-1,5", "1,2,3", "NaN,1", "1,Inf", "%,%",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := ParseThresholds(text); err == nil || !strings.Contains(err.Error(), "not a valid pair of thresholds") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestResult_StatusIsTheWorstOfItsItems(t *testing.T) {
	var r Result
	if r.Status() != OK {
		t.Errorf("without items: %s", r.Status())
	}
	for _, step := range []struct{ add, want Status }{
		{Warning, Warning}, {Unknown, Unknown}, {Warning, Unknown}, {Critical, Critical}, {Unknown, Critical},
	} {
		if r.AddStatus("x", "", step.add); r.Status() != step.want {
			t.Errorf("after adding %s: %s, want %s", step.add, r.Status(), step.want)
		}
	}
}
