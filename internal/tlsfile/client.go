package tlsfile

import (
	"crypto/tls"
	"fmt"
	"time"
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
