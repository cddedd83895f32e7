package simnode

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"

	"github.com/nats-io/nats.go"
)

// Options returns the options to connect to a broker as a client of that name: with the token,
// if there is one, and over TLS if there are roots to verify the broker with.
func (c Credentials) Options(name string, roots *x509.CertPool) []nats.Option {
	options := []nats.Option{nats.Name(name)}
	if roots != nil {
		options = append(options, nats.Secure(c.tlsConfig(roots)))
	}
	if c.Token != "" {
		options = append(options, nats.Token(c.Token), nats.UserJWT(
			func() (string, error) { return c.Token, nil },
			func(nonce []byte) ([]byte, error) { return ed25519.Sign(c.Key, nonce), nil },
		))
	}
	return options
}

func (c Credentials) tlsConfig(roots *x509.CertPool) *tls.Config {
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if block, _ := pem.Decode([]byte(c.Certificate)); block != nil {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: c.RSA}}
	}
	return config
}
