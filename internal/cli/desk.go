package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/appliance"
)

// desk is where a console answers, and how it is asked.
type desk struct {
	url    string
	token  string
	client *http.Client
}

// desk finds the console that --server names, or the configuration.
func (a *asker) desk() (*desk, error) {
	if a.at != nil {
		return a.at, nil
	}
	var err error
	if a.server != "" {
		a.at, err = a.named()
	} else {
		a.at, err = a.configured()
	}
	return a.at, err
}

// newDesk gives up on a console that does not begin to answer.
func newDesk(url, token string, trust *tls.Config) *desk {
	return &desk{url, token, &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: askWait, TLSClientConfig: trust}}}
}

func (a *asker) named() (*desk, error) {
	server := strings.TrimSuffix(a.server, "/")
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	token := a.token
	if path, isFile := strings.CutPrefix(token, "file:"); isFile {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError{fmt.Errorf("--token: %w", err)}
		}
		token = strings.TrimSpace(string(text))
	}
	trust := &tls.Config{}
	if a.ca != "" {
		text, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca: %w", err)}
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, usageError{fmt.Errorf("--ca: %s has no certificate in PEM", a.ca)}
		}
	}
	return newDesk(server, token, trust), nil
}

// installed is the configuration that is named, or that of an appliance that is installed here.
func (a *asker) installed() (*appliance.Config, error) {
	file := a.config
	if file == "" {
		if _, err := os.Stat(installedConfig); err == nil {
			file = installedConfig
		}
	}
	return appliance.Load(file)
}

// configured is the console of that configuration: with its token, and trust in its
// certificate alone.
func (a *asker) configured() (*desk, error) {
	cfg, err := a.installed()
	if err != nil {
		return nil, err
	}
	var trust *tls.Config
	if cfg.Console.TLS.Enabled() {
		if trust, err = trustIn(cfg.Console.TLS); err != nil {
			return nil, err
		}
	}
	return newDesk(cfg.Console.URL(here(cfg.Console.Listen)), cfg.Console.Token, trust), nil
}

// here is an address that a listener on every address has on this machine.
func here(listen string) string {
	host, port, _ := net.SplitHostPort(listen) // checked with the configuration
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// trustIn is trust in that certificate, whatever name it is asked by.
func trustIn(files console.TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	name := pair.Leaf.Subject.CommonName
	switch {
	case len(pair.Leaf.DNSNames) > 0:
		name = pair.Leaf.DNSNames[0]
	case len(pair.Leaf.IPAddresses) > 0:
		name = pair.Leaf.IPAddresses[0].String()
	}
	return &tls.Config{RootCAs: roots, ServerName: cmp.Or(name, "localhost")}, nil
}
