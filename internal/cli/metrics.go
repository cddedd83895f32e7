package cli

import "github.com/muster-appliance/muster/internal/apiclient"

// ledgerMetrics are the terms of an adapter's ledger, in the order of its equation.
var ledgerMetrics = []struct{ term, metric string }{
	{"received", "muster_adapter_received_total"},
	{"stored", "muster_adapter_stored_total"},
	{"duplicate", "muster_adapter_duplicate_total"},
	{"rejected", "muster_adapter_rejected_total"},
	{"dropped", "muster_adapter_dropped_total"},
	{"pending", "muster_adapter_pending"},
}

// ledgers returns the ledger of each adapter, by the adapter's name and the term.
func ledgers(metrics apiclient.Metrics) map[string]map[string]uint64 {
	ledgers := map[string]map[string]uint64{}
	for _, m := range ledgerMetrics {
		for adapter, n := range metrics.SumBy(m.metric, "adapter") {
			if ledgers[adapter] == nil {
				ledgers[adapter] = map[string]uint64{}
			}
			ledgers[adapter][m.term] = uint64(n)
		}
	}
	return ledgers
}

// minCertificateDays returns the days until the first certificate of the broker and the console
// expires; ok is false without TLS.
func minCertificateDays(metrics apiclient.Metrics) (days float64, ok bool) {
	return metrics.Min("muster_broker_certificate_days", "muster_console_certificate_days")
}
