// Package tlsfile loads certificates, private keys and CAs from PEM files, and loads them
// again when the files change. It does not decide which peers may connect.
package tlsfile

import (
	"bytes"
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

// Files is a table with cert, key, ca and crl, all of them paths.
type Files struct {
	Cert string   // PEM, the certificate first and then its intermediates
	Key  string   // PEM
	CA   string   // PEM, one or more CA certificates
	CRL  []string // PEM, the CRLs of these CAs; the component reads them, see package revocation
}

// Keys lists the keys of the table.
func (f *Files) Keys() []config.Key {
	return append(pairKeys(&f.Cert, &f.Key),
		config.Key{Name: "ca", Value: config.Path(&f.CA),
			Help: "path of the CA certificates that must have signed the clients' certificates, PEM"},
		config.Key{Name: "crl", Value: config.PathList(&f.CRL),
			Help: "path, or paths, of the certificate revocation lists of these CAs, PEM"})
}

// Validate reports a certificate without its key, and a key without its certificate. A CA
// may stand alone here; the component decides whether that proves anything. It does not read the
// files.
func (f *Files) Validate(check *config.Check) {
	checkPair(check, f.Cert, f.Key)
	if len(f.CRL) > 0 && f.CA == "" {
		check.Problem("crl", "given without ca; a revocation list counts only for the certificates of a CA")
	}
}

// Enabled reports whether the files make a TLS server.
func (f Files) Enabled() bool { return f.Cert+f.Key != "" }

// Pair is a table with cert and key alone.
type Pair struct {
	Cert string // PEM, the certificate first and then its intermediates
	Key  string // PEM
}

// Keys lists the keys of the table.
func (p *Pair) Keys() []config.Key { return pairKeys(&p.Cert, &p.Key) }

// Validate reports a certificate without its key, and a key without its certificate.
func (p *Pair) Validate(check *config.Check) { checkPair(check, p.Cert, p.Key) }

// Enabled reports whether the files make a TLS server.
func (p Pair) Enabled() bool { return p.Files().Enabled() }

// Files returns the pair as Files without a CA.
func (p Pair) Files() Files { return Files{Cert: p.Cert, Key: p.Key} }

func pairKeys(cert, key *string) []config.Key {
	return []config.Key{
		{Name: "cert", Value: config.Path(cert), Help: "path of the certificate and its intermediates, PEM"},
		{Name: "key", Value: config.Path(key), Help: "path of the certificate's private key, PEM"},
	}
}

func checkPair(check *config.Check, cert, key string) {
	switch {
	case cert != "" && key == "":
		check.Problem("key", "no private key is set; TLS needs cert and key")
	case cert == "" && key != "":
		check.Problem("cert", "no certificate is set; TLS needs cert and key")
	}
}

// State is the content of the files. It does not change.
type State struct {
	Certificates []tls.Certificate // empty: the files have no certificate
	CAs          []*x509.Certificate
	Roots        *x509.CertPool // the CAs; nil: the files have none

	files Files
}

// Load reads the files that have a path. The error names the file and what is wrong with it.
func (f Files) Load() (s *State, err error) {
	s = &State{files: f}
	if f.Enabled() {
		if s.Certificates, err = loadPair(f); err != nil {
			return nil, err
		}
	}
	if f.CA != "" {
		if s.CAs, err = loadCAs(f.CA); err != nil {
			return nil, err
		}
		s.Roots = x509.NewCertPool()
		for _, ca := range s.CAs {
			s.Roots.AddCert(ca)
		}
	}
	return s, nil
}

// LoadServer is Load for a server that its clients verify: it also refuses a certificate that
// every client would refuse, because it is not valid now or is not for servers.
func (f Files) LoadServer(now time.Time) (*State, error) {
	s, err := f.Load()
	if err != nil {
		return nil, err
	}
	if leaf := s.Leaf(); leaf != nil {
		if err := checkLeaf(leaf, now); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Cert, err)
		}
	}
	return s, nil
}

// Leaf returns the certificate, or nil if there is none.
func (s *State) Leaf() *x509.Certificate {
	if len(s.Certificates) == 0 {
		return nil
	}
	return s.Certificates[0].Leaf
}

// Expires returns when the certificate expires; the zero time if there is none.
func (s *State) Expires() time.Time {
	if leaf := s.Leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

func loadPair(files Files) ([]tls.Certificate, error) {
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
	return []tls.Certificate{certificate}, nil
}

// loadCAs returns the certificates in a file. It skips those that cannot be parsed, if there are
// others.
func loadCAs(path string) (cas []*x509.Certificate, err error) {
	text, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			cas = append(cas, c)
		}
		text = rest
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN")):
		return nil, fmt.Errorf("%s: after %d certificates there is PEM that is incomplete", path, len(cas))
	case len(cas) == 0:
		return nil, fmt.Errorf("%s: no certificate in it can be read", path)
	}
	return cas, nil
}

// readPEM returns the content of a file whose first PEM block is of the type kind, or of any
// type if kind is empty.
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
		return nil, fmt.Errorf("%s: holds %q, expected %q", path, block.Type, kind)
	}
	return text, nil
}

// checkLeaf returns why every client would refuse the certificate, or nil.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil // no restriction
	}
	for _, usage := range leaf.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return errors.New("the certificate is not for servers; it needs the extended key usage serverAuth")
}
