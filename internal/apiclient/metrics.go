package apiclient

import (
	"bytes"
	"context"
	"fmt"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are the appliance's metrics, by name. A metric that is not there counts as 0.
type Metrics map[string]*dto.MetricFamily

// Metrics returns the appliance's metrics at this moment.
func (c *Client) Metrics(ctx context.Context) (Metrics, error) {
	response, err := c.get(ctx, "/metrics", "")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body) // the parser would hide that the answer ended early
	if err != nil {
		return nil, fmt.Errorf("read %s/metrics: %w", c.opts.URL, asIncomplete(err))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read %s/metrics: %w", c.opts.URL, err)
	}
	return families, nil
}

// Sum adds up all series of a counter or gauge.
func (m Metrics) Sum(name string) (sum float64) {
	for _, series := range m[name].GetMetric() {
		sum += value(series)
	}
	return sum
}

// SumBy adds up the series of a counter or gauge that share the value of a label.
func (m Metrics) SumBy(name, label string) map[string]float64 {
	sums := map[string]float64{}
	for _, series := range m[name].GetMetric() {
		sums[labelValue(series, label)] += value(series)
	}
	return sums
}

// Min returns the smallest value among the series of these counters or gauges; ok is false where
// there is none.
func (m Metrics) Min(names ...string) (smallest float64, ok bool) {
	for _, name := range names {
		for _, series := range m[name].GetMetric() {
			if v := value(series); !ok || v < smallest {
				smallest, ok = v, true
			}
		}
	}
	return smallest, ok
}

// Label returns the value of a label on the first series of a metric; empty where there is none.
func (m Metrics) Label(name, label string) string {
	for _, series := range m[name].GetMetric() {
		return labelValue(series, label)
	}
	return ""
}

// value returns the value of a counter or gauge; the other of the two is 0.
func value(series *dto.Metric) float64 {
	return series.GetCounter().GetValue() + series.GetGauge().GetValue()
}

func labelValue(series *dto.Metric, name string) string {
	for _, l := range series.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
