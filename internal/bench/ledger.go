package bench

import (
	"context"

	"github.com/muster-appliance/muster/internal/apiclient"
)

// Ledger has the sums of what all adapters of the appliance counted.
type Ledger struct {
	Received  uint64 `json:"received"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Rejected  uint64 `json:"rejected"`
	Dropped   uint64 `json:"dropped"`
	Pending   uint64 `json:"pending"`
}

// readLedger reads the ledger from the appliance's metrics.
func readLedger(ctx context.Context, client *apiclient.Client) (Ledger, error) {
	metrics, err := client.Metrics(ctx)
	if err != nil {
		return Ledger{}, err
	}
	sum := func(name string) uint64 { return uint64(metrics.Sum("muster_adapter_" + name)) }
	return Ledger{
		Received:  sum("received_total"),
		Stored:    sum("stored_total"),
		Duplicate: sum("duplicate_total"),
		Rejected:  sum("rejected_total"),
		Dropped:   sum("dropped_total"),
		Pending:   sum("pending"),
	}, nil
}

// since returns l minus before; Pending is the current value.
func (l Ledger) since(before Ledger) Ledger {
	return Ledger{
		Received:  l.Received - before.Received,
		Stored:    l.Stored - before.Stored,
		Duplicate: l.Duplicate - before.Duplicate,
		Rejected:  l.Rejected - before.Rejected,
		Dropped:   l.Dropped - before.Dropped,
		Pending:   l.Pending,
	}
}
