package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// TLS is the [broker.tls] table.
type TLS struct {
	Cert string
	Key  string
	CA   string
}

// Keys lists the keys of [broker.tls].
func (t *TLS) Keys() []config.Key {
	return []config.Key{
		{Name: "cert", Value: config.Path(&t.Cert), Help: "path of the broker's certificate, PEM, with what leads to its CA"},
		{Name: "key", Value: config.Path(&t.Key), Help: "path of its private key, PEM"},
		{Name: "ca", Value: config.Path(&t.CA), Help: "path of the CA certificates that nodes' certificates must be under, PEM"},
	}
}

// Validate wants the certificate and its key, or none. A CA alone serves to verify messages;
// who needs one is seen around the table.
// Whether the files are good is seen when they are read.
func (t *TLS) Validate(check *config.Check) {
	if !t.enabled() {
		return
	}
	for key, path := range map[string]string{"cert": t.Cert, "key": t.Key} {
		if path == "" {
			check.Problem(key, "not given; TLS needs cert and key")
		}
	}
}

func (t *TLS) enabled() bool { return t.Cert+t.Key != "" }

// material is what was in the files: who the broker is, and whom it trusts.
type material struct {
	leaf   *x509.Certificate
	roots  *x509.CertPool // nil: nobody's certificate counts
	config *tls.Config
}

// expires is when the broker's certificate ends; the zero time where it has none.
func (m *material) expires() time.Time {
	if m.leaf == nil {
		return time.Time{}
	}
	return m.leaf.NotAfter
}

// loadTLS reads the files. The error names the file and what is the matter with it.
func loadTLS(files TLS, now time.Time) (m *material, err error) {
	m = &material{config: &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}} // Choria's connections resume none
	if files.enabled() {
		if m.config.Certificates, err = readPair(files, now); err != nil {
			return nil, err
		}
		m.leaf = m.config.Certificates[0].Leaf
	}
	if files.CA != "" {
		if m.roots, err = readRoots(files.CA); err != nil {
			return nil, err
		}
		m.config.ClientCAs, m.config.ClientAuth = m.roots, tls.VerifyClientCertIfGiven
	}
	return m, nil
}

// readPair reads the broker's certificate and key.
func readPair(files TLS, now time.Time) ([]tls.Certificate, error) {
	certPEM, err := readPEM(files.Cert, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	keyPEM, err := readPEM(files.Key, "")
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", files.Cert, files.Key, err)
	}
	if err := checkLeaf(certificate.Leaf, now); err != nil {
		return nil, fmt.Errorf("%s: %w", files.Cert, err)
	}
	return []tls.Certificate{certificate}, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	text, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it can be read", path)
	}
	return roots, nil
}

// readPEM reads a file that must hold a PEM block, of that type where one is given.
func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return nil, fmt.Errorf("%s: %w", path, cause.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: is not PEM", path)
	}
	if kind != "" && block.Type != kind {
		return nil, fmt.Errorf("%s: holds %q where %q is wanted", path, block.Type, kind)
	}
	return text, nil
}

// checkLeaf refuses a certificate that every node would refuse.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil // good for everything
	}
	for _, usage := range leaf.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return errors.New("the certificate is not for servers; it needs the extended key usage serverAuth")
}
