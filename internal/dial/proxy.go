package dial

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// ParseProxy reads the URL of an HTTP proxy, as http://user:password@proxy:3128. Its errors do not show the URL, which
// may have a password.
func ParseProxy(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !ValidPort(u) {
		return nil, errors.New("the URL of the proxy is not valid; write one such as http://proxy.example.net:3128")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a scheme of a proxy; write http:// or https://", u.Scheme)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the URL of the proxy has a path; a proxy has only a host and a port")
	}
	return u, nil
}

// ValidPort reports whether a URL has a port from 1 to 65535, or none.
func ValidPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

// ShowProxy returns the URL of a proxy without its user and password.
func ShowProxy(u *url.URL) string { return u.Scheme + "://" + u.Host }

// proxyAddress returns the host and port of a proxy. Without a port it is that of its scheme.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
