// Package proxy is an HTTP proxy for tests, which opens tunnels with CONNECT and nothing else. It knows nothing of what
// they carry.
package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
)

// Options say how a proxy behaves.
type Options struct {
	User, Password string           // that requests must have; both empty: none
	Certificate    *tls.Certificate // of an https proxy; nil: http
	Refuse         int              // the status of every answer; 0: tunnels are opened
}

// Proxy is a proxy on a free port of loopback. Its methods are safe for concurrent use.
type Proxy struct {
	options Options
	server  *httptest.Server

	mu      sync.Mutex
	targets []string // as requests named them
	conns   map[net.Conn]bool
	closed  bool
	wg      sync.WaitGroup
}

// New starts a proxy, which runs until Close.
func New(o Options) *Proxy {
	p := &Proxy{options: o, conns: map[net.Conn]bool{}}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	if o.Certificate != nil {
		p.server.TLS = &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, MinVersion: tls.VersionTLS12}
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	return p
}

// Address returns the host and port.
func (p *Proxy) Address() string { return p.server.Listener.Addr().String() }

// Targets returns the hosts and ports to which tunnels were opened.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets)
}

// Close ends the tunnels and waits for them.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.server.Close()
	p.wg.Wait()
}

// serve answers one request.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !p.authorized(r):
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	case p.options.Refuse > 0:
		w.WriteHeader(p.options.Refuse)
	default:
		p.open(w, r.Host)
	}
}

// authorized reports whether a request has the user and the password.
func (p *Proxy) authorized(r *http.Request) bool {
	basic := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, _ := basic.BasicAuth()
	return user == p.options.User && password == p.options.Password
}

// open connects to a target, answers, and carries bytes both ways.
func (p *Proxy) open(w http.ResponseWriter, target string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil || !p.add(target, near, far) {
		_ = far.Close()
		return
	}
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = near.Close()
	}
	p.wg.Go(func() { p.carry(near, far) })
	p.wg.Go(func() { p.carry(far, near) })
}

// add registers the connections of a tunnel. It reports false if the proxy is closed.
func (p *Proxy) add(target string, near, far net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = near.Close()
		return false
	}
	p.targets = append(p.targets, target)
	p.conns[near], p.conns[far] = true, true
	return true
}

// carry copies one direction until it ends, and ends the other one.
func (p *Proxy) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}
