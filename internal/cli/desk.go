package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

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
	switch {
	case a.server != "":
		a.at, err = a.named()
	case a.token != "" || a.ca != "":
		err = usageError{errors.New("--token and --ca are of a console that --server names; those of the configuration's own stand there")}
	default:
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
	if !strings.HasPrefix(server, "http://") && !strings.HasPrefix(server, "https://") {
		return nil, usageError{fmt.Errorf("--server %s: want http:// or https://", a.server)}
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

// installed names the configuration, or that of an appliance that is installed here; a lab is
// asked where there is none.
func (a *asker) installed() string {
	if a.configFile != "" {
		return a.configFile
	}
	if file, err := os.Open(installedConfig); err == nil { // not everybody may read it
		_ = file.Close()
		return installedConfig
	}
	return ""
}

// configured is the console of that configuration: with its token, and trust in its
// certificate alone.
func (a *asker) configured() (*desk, error) {
	cfg, err := appliance.LoadConsole(a.installed())
	if err != nil {
		return nil, err
	}
	var trust *tls.Config
	if cfg.TLS.Enabled() {
		if trust, err = trustIn(cfg.TLS.Cert); err != nil {
			return nil, err
		}
	}
	return newDesk(cfg.URL(here(cfg.Listen)), cfg.Token, trust), nil
}

// here is an address that a listener on every address has on this machine.
func here(listen string) string {
	host, port, _ := net.SplitHostPort(listen) // checked with the configuration
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// trustIn is trust in the first certificate of that file, whatever name it is asked by.
func trustIn(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("console.tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("console.tls.cert: %s has no certificate in PEM", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("console.tls.cert: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	name := leaf.Subject.CommonName
	switch {
	case len(leaf.DNSNames) > 0:
		name = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		name = leaf.IPAddresses[0].String()
	}
	return &tls.Config{RootCAs: roots, ServerName: cmp.Or(name, "localhost")}, nil
}
