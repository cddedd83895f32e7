package apiclient

import "testing"

func TestMetrics_SumsAndFindsMinimum(t *testing.T) {
	m, err := open(t, options()).Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sum := m.Sum("stored_total"); sum != 7 {
		t.Errorf("Sum: %v", sum)
	}
	if by := m.SumBy("stored_total", "adapter"); len(by) != 2 || by["a"] != 3 || by["b"] != 4 {
		t.Errorf("SumBy: %v", by)
	}
	if smallest, ok := m.Min("absent", "stored_total"); smallest != 3 || !ok {
		t.Errorf("Min: %v %v", smallest, ok)
	}
	if label := m.Label("stored_total", "adapter"); label != "a" {
		t.Errorf("Label: %q", label)
	}
	if _, ok := m.Min("absent"); ok || m.Sum("absent") != 0 || m.Label("absent", "adapter") != "" {
		t.Error("a metric that is not there has a value")
	}
}
