package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	certificateInterval = 3 * time.Second
	// WarnBefore is how long before its end a certificate is worth a warning.
	WarnBefore = 30 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// certificates are the TLS files in use. They are read again when they change, without the
// server: its own reload would disconnect every node. A handshake takes what is in use
// then; connections that are there already keep what they began with.
type certificates struct {
	files TLS
	trust func(roots *x509.CertPool) // is told of the CA
	log   hclog.Logger
	inUse atomic.Pointer[material]

	mu     sync.Mutex
	seen   string // what the files looked like when they were last read
	failed string // why they could not be, the last time that was said
	warned time.Time
}

// openCertificates reads the files for the first time.
func openCertificates(files TLS, now time.Time, trust func(*x509.CertPool), log hclog.Logger) (*certificates, error) {
	c := &certificates{files: files, trust: trust, log: log, seen: files.look()}
	m, err := loadTLS(files, now)
	if err != nil {
		return nil, err
	}
	c.use(m)
	return c, nil
}

func (c *certificates) use(m *material) {
	c.inUse.Store(m)
	c.trust(m.roots)
}

// config is for the server, which keeps it for ever: every handshake asks what is in use.
func (c *certificates) config() *tls.Config {
	config := c.inUse.Load().config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return c.inUse.Load().config, nil
	}
	return config
}

// refresh reads the files again where they look different. What cannot be used is said,
// and what was in use stays.
func (c *certificates) refresh(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if look := c.files.look(); look != c.seen {
		c.reload(look, now)
	}
	if end := c.expires(); !end.IsZero() && end.Sub(now) < WarnBefore && now.Sub(c.warned) > warnEvery {
		c.warned = now
		c.log.Warn("certificate expires soon", "certificate", c.files.Cert, "expires", end.Format(time.DateOnly))
	}
}

// reload reads the files, until they can be used: what keeps them from it may be that
// nobody may read them yet, which does not show in how they look.
func (c *certificates) reload(look string, now time.Time) {
	m, err := loadTLS(c.files, now)
	if err != nil {
		if err.Error() != c.failed {
			c.failed = err.Error()
			c.log.Error("certificates not reloaded, the old ones stay", "error", err)
		}
		return
	}
	c.seen, c.failed = look, ""
	c.use(m)
	c.log.Info("certificates reloaded", "certificate", c.files.Cert, "ca", c.files.CA)
}

// expires is when the broker's certificate ends; the zero time where it has none.
func (c *certificates) expires() time.Time { return c.inUse.Load().expires() }

// Reload puts other roles in force, for who connects from now on, and reads the TLS files,
// where they have changed.
func (b *Broker) Reload(roles Roles) {
	b.auth.roles.Store(&roles)
	if b.certs != nil {
		b.certs.refresh(b.now())
	}
}

func (b *Broker) watchCertificates() {
	ticker := time.NewTicker(certificateInterval)
	defer ticker.Stop()
	for {
		b.certs.refresh(b.now())
		select {
		case <-b.quit:
			return
		case <-ticker.C:
		}
	}
}

// look is what tells that a file has changed: its size, its time, and which file it is.
func (t TLS) look() string {
	var look string
	for _, path := range []string{t.Cert, t.Key, t.CA} {
		info, err := os.Stat(path)
		if err != nil {
			look += err.Error()
			continue
		}
		look += fmt.Sprintf("%s %d %d;", path, info.Size(), info.ModTime().UnixNano())
	}
	return look
}

// Expires reads the files as a start would, and tells when the broker's certificate ends;
// where there is none, the time is zero.
func (t TLS) Expires(now time.Time) (time.Time, error) {
	m, err := loadTLS(t, now)
	if err != nil {
		return time.Time{}, err
	}
	return m.expires(), nil
}

// Local is the TLS configuration for a program on the same machine that shows the admin
// token. It reaches the broker under any address, so it does not check the name; instead
// it wants the very certificate of the file.
func (t TLS) Local(now time.Time) (*tls.Config, error) {
	m, err := loadTLS(t, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if !state.PeerCertificates[0].Equal(m.leaf) {
				return fmt.Errorf("the server does not have the certificate of %s", t.Cert)
			}
			return nil
		},
	}, nil
}
