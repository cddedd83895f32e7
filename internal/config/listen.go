package config

import (
	"net"
	"net/netip"
	"strconv"
)

// ListenRule says where a component may listen.
type ListenRule struct {
	Example     string // an address that is always valid, for the problem text
	MayBePublic bool   // whether it may be reachable from the network
	Hint        string // end of the sentence that begins "… is open to the network"
}

// Listen reports a problem of the key unless address is "host:port" and the rule allows it.
// The host may be empty or unspecified, which means every address; port 0 means any free port.
func (c *Check) Listen(key, address string, rule ListenRule) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		c.Problem(key, "%q is not an address and a port; write them as %q", address, rule.Example)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		c.Problem(key, "%q has no port from 0 to 65535", address)
		return
	}
	if !rule.MayBePublic && !IsLoopback(address) {
		c.Problem(key, "%q is open to the network%s", address, rule.Hint)
	}
}

// IsLoopback reports whether only this machine reaches a listener on the address, "host:port".
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// DialAddress returns the address at which a program on this machine reaches a listener on
// the address, "host:port": loopback for a listener on every address.
func DialAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// Collide reports whether a listener on one address, "host:port", keeps another one from listening on the other.
func Collide(one, other string) bool {
	host, port, err := net.SplitHostPort(one)
	otherHost, otherPort, otherErr := net.SplitHostPort(other)
	if err != nil || otherErr != nil || port != otherPort || port == "0" {
		return false
	}
	addr, _ := netip.ParseAddr(host) // the zero value if it is a name, or empty
	otherAddr, _ := netip.ParseAddr(otherHost)
	all := func(host string, addr, other netip.Addr) bool { // an IPv4 address is also one of "::"
		return host == "" || addr.IsUnspecified() && (addr.Is6() || !other.Is6())
	}
	return host == otherHost || all(host, addr, otherAddr) || all(otherHost, otherAddr, addr)
}
