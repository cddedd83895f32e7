// Package console serves HTTP: the API under /api/v1, metrics, readiness and the NATS server's
// own monitoring endpoints. It changes nothing and stores nothing.
package console

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// closeTimeout is for answers that are under way when the console closes.
const closeTimeout = 5 * time.Second

// Reason is why the appliance is not ready, or a warning.
type Reason struct {
	Code   string `json:"code"`   // one word: starting, stream-unwritable, disk-short, adapter-disconnected, stream-lost
	What   string `json:"what"`   // the stream, consumer, directory or adapter that is affected
	Detail string `json:"detail"` // a sentence
}

// Readiness is the answer of /readyz. Its status is 200 when ready, otherwise 503.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []Reason `json:"reasons"`  // empty when ready
	Warnings []Reason `json:"warnings"` // do not change the status
}

// Options are the sources of the console's answers, and its logger.
type Options struct {
	Log      hclog.Logger
	Now      func() time.Time
	Names    []string                                            // of this machine, for which requests may be
	NotReady func() []Reason                                     // empty: ready
	Warnings func() []Reason                                     // nil: none
	Metrics  prometheus.Gatherer                                 // /metrics
	Choria   prometheus.Gatherer                                 // /choria/metrics, with Choria's names
	About    func() About                                        // /choria/
	NATS     map[string]http.HandlerFunc                         // the NATS server's own endpoints, by path
	Rejected func() (entries []rejected.Entry, discarded uint64) // /api/v1/rejected
	Streams  func(context.Context) (Streams, error)              // /api/v1/streams
	Fleet    Fleet                                               // nil: the fleet view is disabled

	Permissions   func() (entries []rejected.Permission, discarded uint64) // /api/v1/permissions
	Leafnodes     func() []Leafnode                                        // /api/v1/leafnodes; nil: there are none
	Forward       func() []forward.Status                                  // /api/v1/forward; nil: no [forward.NAME]
	Sites         SiteView                                                 // nil if Fleet is nil
	Registrations Registrations                                            // nil if Fleet is nil
	Events        Events                                                   // nil if Fleet is nil
}

// Console is the HTTP server.
type Console struct {
	cfg    Config
	opts   Options
	server *http.Server
	listen net.Listener
	once   sync.Once

	descriptors func() (uint64, error) // that the process may open
	hosts       *hostCheck
	refusals    *refusals
	limiter     *limiter     // nil before Open
	certificate *certificate // nil: no TLS
	wg          sync.WaitGroup
}

// New returns a console that does not listen yet.
func New(cfg Config, o Options) *Console {
	c := &Console{
		cfg: cfg, opts: o, descriptors: host.Descriptors,
		hosts: newHostCheck(&cfg, o.Names), refusals: newRefusals(o.Log, o.Now),
	}
	c.hosts.refuse = c.refuseRequest
	c.server = &http.Server{
		Handler:           limitBody(c.hosts.handler(requireToken(cfg.Token, c.refuseRequest, handler(o)))),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
	}
	// Errors of a single connection are the client's fault, so they are logged at Debug.
	c.server.ErrorLog = o.Log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})
	// Answers without an end, such as followed events, end when the console shuts down.
	requests, cancel := context.WithCancel(context.Background())
	c.server.BaseContext = func(net.Listener) context.Context { return requests }
	c.server.RegisterOnShutdown(cancel)
	return c
}

func (c *Console) refuseRequest(reason string, r *http.Request) {
	address, _ := netip.ParseAddrPort(r.RemoteAddr) // the net/http server sets it
	c.refusals.record(reason, address.Addr().Unmap(), r.Host)
}

func (c *Console) refuseConnection(reason string, address netip.Addr) {
	c.refusals.record(reason, address, "")
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	for _, path := range []string{"/choria/metrics", "/choria/prometheus"} { // Choria has both
		mux.Handle("GET "+path, promhttp.HandlerFor(o.Choria, promhttp.HandlerOpts{}))
	}
	mux.HandleFunc("GET /choria/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(o.About())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, o) })
	for path, endpoint := range o.NATS {
		mux.HandleFunc("GET "+path, withoutCORS(endpoint))
	}
	newAPI(o).register(mux)
	return mux
}

func writeReady(w http.ResponseWriter, o Options) {
	reasons, warnings := append([]Reason{}, o.NotReady()...), []Reason{} // empty lists in JSON, not null
	if o.Warnings != nil {
		warnings = append(warnings, o.Warnings()...)
	}
	w.Header().Set("Content-Type", "application/json")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(Readiness{len(reasons) == 0, reasons, warnings})
}

// Open listens and serves. It returns once requests are accepted.
func (c *Console) Open(context.Context) error {
	if c.cfg.TLS.Enabled() {
		var err error
		if c.certificate, err = openCertificate(c.cfg.TLS, c.opts.Now, c.opts.Log); err != nil {
			return fmt.Errorf("console.tls: %w", err)
		}
		c.hosts.leaf = func() *x509.Certificate { return c.certificate.files.Current().Leaf() }
	}
	descriptors, err := c.descriptors()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("console.listen: %w", err)
	}
	total, perAddress := connectionLimits(descriptors)
	c.limiter = newLimiter(l, total, perAddress, c.refuseConnection)
	c.listen = c.limiter
	if c.certificate != nil {
		c.listen = c.certificate.listener(c.listen)
	}
	c.wg.Go(c.serve)
	return nil
}

func (c *Console) serve() {
	if err := c.server.Serve(c.listen); !errors.Is(err, http.ErrServerClosed) {
		c.opts.Log.Error("console stopped", "error", err)
	}
}

// Expires returns when the certificate in use expires; zero without TLS.
func (c *Console) Expires() time.Time {
	if c.certificate == nil {
		return time.Time{}
	}
	return c.certificate.files.Current().Expires()
}

// Address returns the host and port on which the console listens. Call it after Open.
func (c *Console) Address() string { return c.listen.Addr().String() }

// Close finishes the answers that are under way, within 5 s, and stops. It may be called twice,
// and before Open.
func (c *Console) Close(ctx context.Context) error {
	var err error
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		if err = c.server.Shutdown(ctx); err != nil {
			err = errors.Join(err, c.server.Close())
		}
		c.wg.Wait()
	})
	return err
}
