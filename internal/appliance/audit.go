package appliance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// newAudit returns the audit. It stores nothing if no stream is declared for it.
func (a *Appliance) newAudit() *audit.Log {
	o := audit.Options{
		Now: time.Now, Log: a.opts.Log.Named("audit"),
		Secrets: func() []string { return []string{a.privateToken, a.broker.AdminToken()} },
	}
	if a.cfg.DeclaredStreams().StreamFor(contract.SubjectAudit+contract.ActionConnect) != "" {
		o.Store = a.recordStore()
	}
	return audit.New(o)
}

// recordStore returns a function that publishes records. Their ids begin with a random text, because each
// process begins with the same sequence.
func (a *Appliance) recordStore() func(context.Context, uint64, audit.Record) error {
	process := rand.Text()
	return func(ctx context.Context, sequence uint64, r audit.Record) error {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		subject := a.private.Prefix(contract.SubjectAudit+">") + contract.SubjectAudit + r.Action
		_, err = a.streams.Publish(ctx, subject, data, jetstream.WithMsgID(fmt.Sprint(process, ".", sequence)),
			jetstream.WithRetryAttempts(0))
		return err
	}
}

// auditRequest records a request to JetStream, unless the appliance itself has made it.
func (a *Appliance) auditRequest(r audit.Record) {
	if a.broker.RoleOf(r.Connection) != broker.RoleInternal {
		a.audit.Add(r)
	}
}

// auditMetrics are the metrics of the audit.
func (a *Appliance) auditMetrics() []prometheus.Collector {
	counter := func(name, help string, value func(recorded, unrecorded uint64) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "muster_audit_" + name, Help: help},
			func() float64 { return float64(value(a.audit.Counts())) })
	}
	return []prometheus.Collector{
		counter("recorded_total", "Actions with administrator's rights whose record is stored.",
			func(recorded, _ uint64) uint64 { return recorded }),
		counter("unrecorded_total", "Actions with administrator's rights that are in the log only.",
			func(_, unrecorded uint64) uint64 { return unrecorded }),
	}
}
