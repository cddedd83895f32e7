package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/muster-appliance/muster/console"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// readiness is whether the appliance is ready, or why not.
func (a *asker) readiness(ctx context.Context) (ready bool, reasons []console.Reason, err error) {
	response, err := a.get(ctx, "/readyz", "")
	if err != nil {
		return false, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
		return false, nil, refusal(response)
	}
	var answer struct {
		Ready   *bool            `json:"ready"`
		Reasons []console.Reason `json:"reasons"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Ready == nil {
		return false, nil, errors.New("/readyz answers something else; is it the console of an appliance?")
	}
	return *answer.Ready, answer.Reasons, nil
}

// metrics are the appliance's figures.
func (a *asker) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	body, err := a.fetch(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return nil, fmt.Errorf("read /metrics: %w", err)
	}
	return families, nil
}

// sum is that of a counter's values.
func sum(family *dto.MetricFamily) (all float64) {
	for _, m := range family.GetMetric() {
		all += m.GetCounter().GetValue()
	}
	return all
}

// certificate is for how many days those of the broker and the console are good, the one that
// ends first; nil where neither has one.
func certificate(families map[string]*dto.MetricFamily) (days *float64) {
	for _, name := range []string{"muster_broker_certificate_days", "muster_console_certificate_days"} {
		for _, m := range families[name].GetMetric() {
			if left := m.GetGauge().GetValue(); days == nil || left < *days {
				days = &left
			}
		}
	}
	return days
}
