package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"slices"

	"github.com/muster-appliance/muster/internal/tlsfile"
)

// tlsConfig returns the TLS configuration of the link. Each handshake reads the files, so that renewed certificates
// and CAs are used: NATS keeps the configuration for its lifetime.
func (r *LeafRemote) tlsConfig(own tlsfile.Files) (*tls.Config, error) {
	files := r.TLS.Or(own)
	if _, err := files.Load(); err != nil {
		return nil, err
	}
	addresses := r.addresses()
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s, err := files.Load()
			if err != nil || len(s.Certificates) == 0 {
				return &tls.Certificate{}, err // without a certificate: a token decides
			}
			return &s.Certificates[0], nil
		},
		InsecureSkipVerify: true, // VerifyConnection does the same with the CAs of this moment
		VerifyConnection: func(state tls.ConnectionState) error {
			s, err := files.Load()
			if err != nil {
				return err
			}
			return verifyServer(state, s.Roots, addresses)
		},
	}, nil
}

// addresses returns the IP addresses in the URLs of the link.
func (r *LeafRemote) addresses() (addresses []string) {
	for _, text := range r.URLs {
		if u, err := url.Parse(text); err == nil && net.ParseIP(u.Hostname()) != nil {
			addresses = append(addresses, u.Hostname())
		}
	}
	return addresses
}

// verifyServer verifies the certificate of a server as crypto/tls does. roots are the CAs; nil: those of the machine.
// If the server was reached by an address, crypto/tls does not tell which one: it must be one of addresses.
func verifyServer(state tls.ConnectionState, roots *x509.CertPool, addresses []string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server has no certificate")
	}
	leaf := state.PeerCertificates[0]
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: state.ServerName}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if state.ServerName != "" {
		return nil
	}
	if !slices.ContainsFunc(addresses, func(address string) bool { return leaf.VerifyHostname(address) == nil }) {
		return errors.New("the certificate of the server is not for its address")
	}
	return nil
}
