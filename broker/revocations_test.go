package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// revoking is a site with revocation lists, a list of revoked tokens, and a clock that a test sets.
type revoking struct {
	*site
	crl, tokens, ca string // paths
	ahead           atomic.Int64
	edits           atomic.Int64
}

func openRevoking(t *testing.T) *revoking {
	t.Helper()
	return openRevokingWith(t, nil)
}

// openRevokingWith does what openRevoking does; edit, if it is not nil, changes the configuration.
func openRevokingWith(t *testing.T, edit func(*Config)) *revoking {
	t.Helper()
	dir := t.TempDir()
	r := &revoking{crl: filepath.Join(dir, "crl.pem"), tokens: filepath.Join(dir, "revoked.txt")}
	r.site = openSiteWith(t, func(s *site, c *Config, o *Options) {
		r.ca = c.TLS.CA
		withListeners(c, edit)
		r.write(t, r.crl, s.ca.CRL(nil))
		r.write(t, r.tokens, "# none\n")
		c.TLS.CRL, c.RevokedTokens = []string{r.crl}, r.tokens
		o.Now = func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	})
	return r
}

// write writes a file with a modification time of its own: the clock of the file system may not have
// advanced since it was last written.
func (r *revoking) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	written := time.Unix(1_000_000+r.edits.Add(1), 0)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
}

// reload writes a file, and makes the broker read it.
func (r *revoking) reload(t *testing.T, path, text string) {
	t.Helper()
	r.write(t, path, text)
	r.broker.Reload(r.broker.cfg.Roles)
}

// node is an open connection.
type node struct {
	*nats.Conn
	options []nats.Option
}

func (r *revoking) open(t *testing.T, options ...nats.Option) node {
	t.Helper()
	nc, err := r.connect(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return node{nc, options}
}

// mustEnd fails the test unless the broker ends the connection, counts that under the reason, and refuses
// the node when it connects again.
func (r *revoking) mustEnd(t *testing.T, n node, reason string) {
	t.Helper()
	wait.Eventually(t, func() error {
		if !n.IsClosed() {
			return fmt.Errorf("the connection is open")
		}
		if line := "connection ended: reason=" + reason; !strings.Contains(r.log.String(), line) {
			return fmt.Errorf("the log lacks %q:\n%s", line, r.log)
		}
		return nil
	})
	r.mustRefuse(t, reason, n.options...)
}

// mustStay fails the test unless the connection works.
func (r *revoking) mustStay(t *testing.T, n node) {
	t.Helper()
	if err := n.Flush(); err != nil {
		t.Errorf("the connection was ended: %v", err)
	}
}

// pair returns the TLS option with a new certificate of that name, and the certificate.
func (r *revoking) pair(
	t *testing.T, ca *authority.Authority, edit func(*x509.Certificate), name string,
) (nats.Option, string) {
	t.Helper()
	config := ca.Client(edit, name)
	config.RootCAs = r.site.ca.Pool()
	return nats.Secure(config), pemOf(config)
}

func pemOf(config *tls.Config) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]}))
}

func TestRevocations_EndConnectionsOfCertificates(t *testing.T) {
	r := openRevoking(t)
	first, text := r.pair(t, r.site.ca, nil, "web1")
	second, _ := r.pair(t, r.site.ca, nil, "web2")
	web1, web2 := r.open(t, first), r.open(t, second)
	withBoth := r.open(t, append(r.node("web3").options(), first)...)
	before := r.broker.auth.refusals.snapshot()["revoked"]
	r.reload(t, r.crl, r.site.ca.CRL(nil, text))
	wait.Eventually(t, func() error {
		if n := r.broker.auth.refusals.snapshot()["revoked"] - before; n != 2 {
			return fmt.Errorf("%d ended connections were counted, want 2", n)
		}
		return nil
	})
	r.mustEnd(t, web1, "revoked")
	r.mustEnd(t, withBoth, "revoked")
	r.mustStay(t, web2)
	r.reload(t, r.crl, r.site.ca.CRL(nil))
	r.open(t, first)
}

func TestRevocations_WatchedWithoutReload(t *testing.T) {
	r := openRevoking(t)
	option, text := r.pair(t, r.site.ca, nil, "web1")
	web1, web2 := r.open(t, option), r.open(t, r.withToken(r.node("web2"))...) // for an hour
	r.ahead.Store(int64(2 * time.Hour))
	r.write(t, r.crl, r.site.ca.CRL(nil, text))
	r.mustEnd(t, web1, "revoked")
	r.mustEnd(t, web2, "expired")
}

// TestRevocations_OfIntermediates revokes an intermediate CA, which only the node presents.
func TestRevocations_OfIntermediates(t *testing.T) {
	r := openRevoking(t)
	below := r.site.ca.Intermediate("below")
	config := below.Client(nil, "web1")
	config.RootCAs = r.site.ca.Pool()
	block, _ := pem.Decode([]byte(below.PEM()))
	config.Certificates[0].Certificate = append(config.Certificates[0].Certificate, block.Bytes)
	web1 := r.open(t, nats.Secure(config))
	if have := fmt.Sprint(r.broker.RevocationWarnings()); !strings.Contains(have, "there is no CRL of CN=below") {
		t.Errorf("warnings %s", have)
	}
	r.reload(t, r.crl, r.site.ca.CRL(nil)+below.CRL(nil))
	r.mustStay(t, web1)
	if have := r.broker.RevocationWarnings(); len(have) > 0 {
		t.Errorf("warnings %s", have)
	}
	r.reload(t, r.crl, r.site.ca.CRL(nil, below.PEM())+below.CRL(nil))
	r.mustEnd(t, web1, "revoked")
}

func TestRevocations_EndConnectionsOfTokens(t *testing.T) {
	for name, line := range map[string]func(*choria.Claims) string{
		"by identity":      func(*choria.Claims) string { return "identity web1" },
		"by id":            func(c *choria.Claims) string { return "token " + c.ID },
		"by time":          func(*choria.Claims) string { return "identity web1 2999-01-01T00:00:00Z" },
		"by organization":  func(*choria.Claims) string { return "issuer choria" },
		"and the next one": func(*choria.Claims) string { return "issuer other\nidentity web1" },
	} {
		t.Run(name, func(t *testing.T) {
			r := openRevoking(t)
			holder := r.node("web1")
			claims, err := r.broker.opts.Verifier.TokenVerifier().Verify(holder.token, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			web1, web2 := r.open(t, r.withToken(holder)...), r.open(t, r.withToken(r.client("choria=web2"))...)
			r.reload(t, r.tokens, line(claims)+"\n")
			r.mustEnd(t, web1, "revoked")
			if name == "by organization" {
				r.mustEnd(t, web2, "revoked")
				return
			}
			r.mustStay(t, web2)
		})
	}
}

func TestRevocations_EndExpiredConnections(t *testing.T) {
	r := openRevoking(t)
	long := func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 6, 0) }
	short, _ := r.pair(t, r.site.ca, nil, "web1") // for a month
	longer, _ := r.pair(t, r.site.ca, long, "web2")
	web1, web2 := r.open(t, short), r.open(t, longer)
	web3 := r.open(t, r.withToken(r.node("web3"))...) // for an hour
	r.ahead.Store(int64(2 * time.Hour))
	r.broker.Reload(r.broker.cfg.Roles)
	r.mustEnd(t, web3, "expired")
	r.mustStay(t, web1)
	r.ahead.Store(int64(40 * 24 * time.Hour))
	r.broker.Reload(r.broker.cfg.Roles)
	r.mustEnd(t, web1, "expired")
	r.mustStay(t, web2)
}

// TestRevocations_LastGoodStaysInForce reads lists that cannot be used after one that revokes web1.
func TestRevocations_LastGoodStaysInForce(t *testing.T) {
	r := openRevoking(t)
	first, text := r.pair(t, r.site.ca, nil, "web1")
	second, _ := r.pair(t, r.site.ca, nil, "web2")
	web2, revoked := r.open(t, second), r.node("web3")
	empty, err := os.ReadFile(r.crl)
	if err != nil {
		t.Fatal(err)
	}
	r.reload(t, r.tokens, "identity web3\n")
	r.reload(t, r.crl, r.site.ca.CRL(nil, text))
	stranger := authority.New(t, time.Now())
	past := func(c *x509.RevocationList) { c.NextUpdate = time.Now().Add(-time.Minute) }
	for name, test := range map[string]struct{ crl, log string }{
		"an old copy":     {string(empty), "is older than the last one (number 2 of"},
		"broken":          {"broken", "certificate revocation lists not reloaded, the previous ones stay in force: error="},
		"wrongly signed":  {stranger.CRL(nil), "is not signed by that CA, and does not count"},
		"past nextUpdate": {r.site.ca.CRL(past), "the last one stays in force"},
	} {
		t.Run(name, func(t *testing.T) {
			r.reload(t, r.crl, test.crl)
			if !strings.Contains(r.log.String(), test.log) || len(r.broker.RevocationWarnings()) == 0 {
				t.Errorf("warnings %v, and the log lacks %q:\n%s", r.broker.RevocationWarnings(), test.log, r.log)
			}
			r.mustRefuse(t, "revoked", first)
			r.mustStay(t, web2)
		})
	}
	t.Run("removed", func(t *testing.T) {
		_ = os.Remove(r.crl)
		_ = os.Remove(r.tokens)
		r.broker.Reload(r.broker.cfg.Roles)
		r.mustRefuse(t, "revoked", first)
		r.mustRefuse(t, "revoked", r.withToken(revoked)...)
	})
	t.Run("a wrong line", func(t *testing.T) {
		r.reload(t, r.tokens, "\nweb3\n")
		if want := "revoked.txt: line 2: expected identity, token or issuer"; !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
		r.mustRefuse(t, "revoked", r.withToken(revoked)...)
	})
	t.Run("restored", func(t *testing.T) {
		r.reload(t, r.crl, r.site.ca.CRL(nil))
		r.reload(t, r.tokens, "")
		r.ahead.Add(int64(settleTime))
		r.broker.Reload(r.broker.cfg.Roles)
		r.open(t, first)
		r.open(t, r.withToken(revoked)...)
		if have := r.broker.RevocationWarnings(); len(have) > 0 {
			t.Errorf("warnings %s", have)
		}
	})
}

func TestBroker_OpenRefusesUnusableRevocations(t *testing.T) {
	ca := authority.New(t, time.Now())
	past := func(c *x509.RevocationList) { c.NextUpdate = time.Now().Add(-time.Minute) }
	for name, test := range map[string]struct{ crl, tokens, want string }{
		"missing CRL":     {"", "", "broker.tls.crl: DIR/crl.pem: no such file or directory"},
		"broken CRL":      {"x", "", "broker.tls.crl: DIR/crl.pem: is not PEM"},
		"too long":        {strings.Repeat("\n", 1<<24) + ca.CRL(nil), "", "crl.pem: is too long"},
		"missing tokens":  {ca.CRL(nil), "", "broker.revoked_tokens: DIR/revoked.txt: no such file or directory"},
		"broken tokens":   {ca.CRL(nil), "x", "broker.revoked_tokens: DIR/revoked.txt: line 1: expected"},
		"past nextUpdate": {ca.CRL(past), "#", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ca.Files(dir, nil, "broker.test")
			cfg := DefaultConfig()
			cfg.TLS = filesIn(dir)
			cfg.TLS.CRL, cfg.RevokedTokens = []string{filepath.Join(dir, "crl.pem")}, filepath.Join(dir, "revoked.txt")
			for path, text := range map[string]string{cfg.TLS.CRL[0]: test.crl, cfg.RevokedTokens: test.tokens} {
				if text != "" {
					_ = os.WriteFile(path, []byte(text), 0o600)
				}
			}
			want := strings.ReplaceAll(test.want, "DIR", dir)
			warnings, err := cfg.CheckRevocations("", time.Now())
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("check: have %v, want %s", err, want)
			}
			if want == "" && len(warnings) != 1 {
				t.Errorf("warnings %v", warnings)
			}
			err = newBroker(t, cfg, testOptions(t)).Open(t.Context())
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("open: have %v, want %s", err, want)
			}
		})
	}
}

// TestRevocations_ReloadWhileNodesConnect revokes certificates while their nodes connect: no connection
// may outlive the reload.
func TestRevocations_ReloadWhileNodesConnect(t *testing.T) {
	const nodes = 4
	r := openRevoking(t)
	var options []nats.Option
	var texts []string
	for n := range nodes {
		option, text := r.pair(t, r.site.ca, nil, fmt.Sprintf("web%d", n+1))
		options, texts = append(options, option), append(texts, text)
	}
	var connecting sync.WaitGroup
	stop := make(chan struct{})
	for _, option := range options {
		connecting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if nc, err := r.connect(option); err == nil {
						defer nc.Close() // it is ended by the broker before
					}
				}
			}
		})
	}
	for n := range nodes {
		r.reload(t, r.crl, r.site.ca.CRL(nil, texts[:n+1]...))
	}
	wait.Eventually(t, func() error {
		open, err := r.broker.ListConnections()
		if err != nil {
			return err
		}
		for _, c := range open {
			if c.Ended.IsZero() {
				return fmt.Errorf("%s is connected", c.User)
			}
		}
		return nil
	})
	close(stop)
	connecting.Wait()
}

// TestCertificates_RemovedCAEndsConnections has two CAs, and removes one.
func TestCertificates_RemovedCAEndsConnections(t *testing.T) {
	r := openRevoking(t)
	other := authority.New(t, time.Now())
	r.reload(t, r.ca, r.site.ca.PEM()+other.PEM())
	first, _ := r.pair(t, r.site.ca, nil, "web1")
	second, _ := r.pair(t, other, nil, "web2")
	web1, web2 := r.open(t, first), r.open(t, second)
	r.reload(t, r.ca, r.site.ca.Renew(time.Now().AddDate(5, 0, 0)))
	r.mustEnd(t, web2, "untrusted")
	r.mustStay(t, web1)
	if have := fmt.Sprint(r.broker.RevocationWarnings()); have != "[]" {
		t.Errorf("warnings %s", have)
	}
}

func TestAdmitted_ForgetsClosedConnections(t *testing.T) {
	r := openRevoking(t)
	r.open(t, r.certificate("web1")).Close()
	web2 := r.open(t, r.certificate("web2"))
	wait.Eventually(t, func() error {
		r.ahead.Add(int64(2 * sweepInterval))
		r.broker.Reload(r.broker.cfg.Roles)
		r.broker.auth.admitted.mu.Lock()
		defer r.broker.auth.admitted.mu.Unlock()
		if n := len(r.broker.auth.admitted.proofs); n != 1 {
			return fmt.Errorf("%d connections are remembered, want 1", n)
		}
		return nil
	})
	r.mustStay(t, web2)
}
