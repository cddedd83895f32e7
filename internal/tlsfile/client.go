package tlsfile

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// Expires loads the files as LoadServer does and returns when the certificate expires; the
// zero time if there is none.
func (f Files) Expires(now time.Time) (time.Time, error) {
	s, err := f.LoadServer(now)
	if err != nil {
		return time.Time{}, err
	}
	return s.Expires(), nil
}

// ClientFiles is a table with cert, key and ca, all of them paths: what a client presents, and the CA of the server.
type ClientFiles struct {
	Cert string // PEM, the certificate first and then its intermediates
	Key  string // PEM
	CA   string // PEM, one or more CA certificates
}

// Keys lists the keys of the table.
func (f *ClientFiles) Keys() []config.Key {
	return append(pairKeys(&f.Cert, &f.Key),
		config.Key{Name: "ca", Value: config.Path(&f.CA),
			Help: "path of the CA certificates that must have signed the server's certificate, PEM"})
}

// Validate reports a certificate without its key, and a key without its certificate.
func (f *ClientFiles) Validate(check *config.Check) { checkPair(check, f.Cert, f.Key) }

// Or returns the certificate, and the CA, each from other if f has none.
func (f ClientFiles) Or(other Files) Files {
	files := Files{Cert: f.Cert, Key: f.Key, CA: cmp.Or(f.CA, other.CA)}
	if !files.Enabled() {
		files.Cert, files.Key = other.Cert, other.Key
	}
	return files
}

// LocalClient returns the TLS configuration of a program that connects to a server on the
// same machine which uses these files. It reaches the server under any address, so it does
// not check the name; instead it requires the very certificate of the file.
func (f Files) LocalClient(now time.Time) (*tls.Config, error) {
	s, err := f.LoadServer(now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if !state.PeerCertificates[0].Equal(s.Leaf()) {
				return fmt.Errorf("the server does not have the certificate of %s", f.Cert)
			}
			return nil
		},
	}, nil
}
