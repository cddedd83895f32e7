// Package console answers over HTTP: metrics, readiness and the NATS server's own
// monitoring pages. It changes nothing and keeps nothing.
package console

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	headerTimeout = 10 * time.Second
	closeTimeout  = 5 * time.Second
)

// Reason is why the appliance is not ready.
type Reason struct {
	Code   string `json:"code"`   // one word: starting, stream-unwritable, disk-short, adapter-disconnected
	What   string `json:"what"`   // the stream, directory or adapter that it is about
	Detail string `json:"detail"` // a sentence
}

// Options are where the console takes its answers from, and its logger.
type Options struct {
	Log      hclog.Logger
	Ready    func() []Reason                                   // nothing: ready
	Metrics  prometheus.Gatherer                               // /metrics
	Choria   prometheus.Gatherer                               // /choria/prometheus, in Choria's names
	NATS     map[string]http.HandlerFunc                       // the server's own pages, by path
	Rejected func() (cases []rejected.Entry, forgotten uint64) // /api/v1/rejected
	Streams  func(context.Context) (Streams, error)            // /api/v1/streams
	Fleet    Fleet                                             // /api/v1; nil: nobody watches the nodes

	Registrations Registrations // where somebody does
	Events        Events
}

// Console is the HTTP server.
type Console struct {
	cfg    Config
	log    hclog.Logger
	server *http.Server
	listen net.Listener
	once   sync.Once

	certificate *renewed // nil: no TLS
	wg          sync.WaitGroup
}

// New makes a console that does not listen yet.
func New(cfg Config, o Options) *Console {
	c := &Console{
		cfg:    cfg,
		log:    o.Log,
		server: &http.Server{Handler: guard(cfg.Token, handler(o)), ReadHeaderTimeout: headerTimeout},
	}
	// What goes wrong with a connection is the fault of who asks.
	c.server.ErrorLog = o.Log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})
	// Answers that would go on for ever end with the console.
	answering, end := context.WithCancel(context.Background())
	c.server.BaseContext = func(net.Listener) context.Context { return answering }
	c.server.RegisterOnShutdown(end)
	return c
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	mux.Handle("GET /choria/prometheus", promhttp.HandlerFor(o.Choria, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, o.Ready()) })
	for path, page := range o.NATS {
		mux.HandleFunc("GET "+path, page)
	}
	mux.HandleFunc("GET /api/v1/rejected", plain(func(w http.ResponseWriter, _ *http.Request) { writeRejected(w, o.Rejected) }))
	mux.HandleFunc("GET /api/v1/streams", plain(func(w http.ResponseWriter, r *http.Request) { writeStreams(w, r, o.Streams) }))
	mux.HandleFunc("/api/", noPage)
	if o.Fleet == nil {
		mux.HandleFunc("GET /api/v1/", nobodyWatches)
	} else {
		api{o.Fleet, o.Registrations, o.Events, make(chan struct{}, mostFollowers), writeWait, o.Log}.register(mux)
	}
	return mux
}

func writeReady(w http.ResponseWriter, reasons []Reason) {
	if reasons == nil {
		reasons = []Reason{}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct {
		Ready   bool     `json:"ready"`
		Reasons []Reason `json:"reasons"`
	}{len(reasons) == 0, reasons})
}

// Open listens and answers.
func (c *Console) Open(context.Context) error {
	if err := c.cfg.TLS.Check(); err != nil {
		return fmt.Errorf("console.tls: %w", err)
	}
	l, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("console.listen: %w", err)
	}
	c.listen = l
	if c.cfg.TLS.Enabled() {
		c.certificate = &renewed{files: c.cfg.TLS, log: c.log}
		c.listen = tls.NewListener(l, &tls.Config{GetCertificate: c.certificate.certificate, MinVersion: tls.VersionTLS12})
	}
	c.wg.Go(c.serve)
	return nil
}

func (c *Console) serve() {
	if err := c.server.Serve(c.listen); !errors.Is(err, http.ErrServerClosed) {
		c.log.Error("console stopped", "error", err)
	}
}

// Expires is the end of the certificate that is in use; zero without one.
func (c *Console) Expires() time.Time {
	if c.certificate == nil {
		return time.Time{}
	}
	return c.certificate.expires()
}

// Address is where the console listens, as host and port.
func (c *Console) Address() string { return c.listen.Addr().String() }

// Close answers what has been asked and stops. It may be called twice, and before Open.
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
