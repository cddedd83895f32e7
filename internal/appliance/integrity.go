package appliance

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// gapsTimeout is how long the server may take to list the sequences that a stream does not have.
	gapsTimeout = 10 * time.Second
	// Missing streams are created again in up to so many attempts, each of which takes up to
	// createTimeout: the server answers no request that it receives while it opens the store.
	createAttempts = 3
	createTimeout  = 3 * time.Second
)

// RecordFile returns the file with the record of the streams.
func (c *Config) RecordFile() string { return filepath.Join(c.DataDir, "streams.json") }

// CRLRecordFile returns the file that records which certificate revocation lists were in force.
func (c *Config) CRLRecordFile() string { return filepath.Join(c.DataDir, "crls.json") }

// loadRecord reads the record of the streams, before the broker opens them.
func (a *Appliance) loadRecord(context.Context) error {
	a.recorder = newRecorder(a.cfg.RecordFile(), a.cfg.JetStream.SyncInterval, a.opts.Log.Named("integrity"))
	a.recorder.load(time.Now())
	return nil
}

// compareStreams compares the streams with the record, and keeps the record from then on.
func (a *Appliance) compareStreams(context.Context) error {
	r := a.recorder
	r.gaps = a.gaps
	r.start(time.Now())
	if err := a.subscribeIntegrity(); err != nil {
		return err
	}
	if err := a.serveAcceptLoss(); err != nil {
		return err
	}
	a.wg.Go(a.keepRecord)
	a.wg.Go(a.verifyMessages)
	return nil
}

// keepRecord reads the streams until Close.
func (a *Appliance) keepRecord() {
	ticker := time.NewTicker(a.recorder.interval)
	defer ticker.Stop()
	missing := false // a declared stream that could not be created again
	for {
		select {
		case <-a.quit:
			return
		case <-a.recorder.wake: // before many messages are stored
		case <-ticker.C:
		}
		if a.recorder.reopened.Load() {
			missing = !a.restoreStreams()
		} else if missing {
			missing = a.createMissing() != nil
		}
		a.recorder.tick(time.Now())
	}
}

// restoreStreams creates declared streams that are missing after the store was reopened, and compares all.
// It reports whether all exist.
func (a *Appliance) restoreStreams() bool {
	var err error
	for range createAttempts {
		if err = a.createMissing(); err == nil {
			break
		}
		select {
		case <-a.quit:
			return false
		case <-time.After(a.recorder.interval):
		}
	}
	if err != nil {
		a.opts.Log.Named("jsconfig").Error("missing streams not created", "error", err)
	}
	a.recorder.storeReopened(time.Now())
	return err == nil
}

// createMissing creates the declared streams that are missing.
func (a *Appliance) createMissing() error {
	ctx, cancel := context.WithTimeout(a.ctx, createTimeout)
	defer cancel()
	return a.recreateStreams(ctx)
}

// gaps returns the sequences between the first and the last message of a stream that it does not have.
func (a *Appliance) gaps(stream string) (integrity.Ranges, error) {
	ctx, cancel := context.WithTimeout(a.ctx, gapsTimeout)
	defer cancel()
	s, err := a.streams.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, err
	}
	return integrity.Sequences(info.State.Deleted), nil
}

// subscribeIntegrity follows the changes of consumers that are made through JetStream's API. The private
// streams' service announces those of streams.
func (a *Appliance) subscribeIntegrity() error {
	_, err := a.streams.Conn().Subscribe(contract.SubjectAPIAdvisory, func(m *nats.Msg) {
		var advisory struct{ Subject string }
		if json.Unmarshal(m.Data, &advisory) == nil {
			_, operation, _ := strings.Cut(advisory.Subject, ".API.")
			a.recorder.noteConsumer(operation, time.Now())
		}
	})
	return err
}

// Warnings returns what is not as it was recorded, and the hubs and leaf nodes that are not connected. None of these
// makes the appliance unready.
func (a *Appliance) Warnings() []console.Reason {
	var warnings []console.Reason
	if a.recorder != nil {
		for _, f := range a.recorder.findings() {
			warnings = append(warnings, console.Reason{Code: f.Code, What: f.Subject(), Detail: f.String()})
		}
	}
	for _, hub := range a.Forwards() {
		if !hub.Connected {
			warnings = append(warnings, console.Reason{Code: CodeHubDisconnected, What: hub.Hub, Detail: disconnected(hub)})
		}
	}
	return append(warnings, a.leafWarnings()...)
}

// lostMessages collects muster_stream_lost_messages.
type lostMessages struct {
	recorder *recorder
	desc     *prometheus.Desc
}

func newLostMessages(r *recorder) lostMessages {
	return lostMessages{r, prometheus.NewDesc("muster_stream_lost_messages",
		"Messages that are lost, until the loss is accepted.", []string{"stream"}, nil)}
}

// Describe implements prometheus.Collector.
func (l lostMessages) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements prometheus.Collector.
func (l lostMessages) Collect(ch chan<- prometheus.Metric) {
	lost := map[string]uint64{}
	for _, f := range l.recorder.findings() {
		if f.Code == integrity.CodeLost {
			lost[f.Stream] += f.Messages
		}
	}
	for stream, n := range lost {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, float64(n), stream)
	}
}
