package cli

import (
	"net"
	"strconv"
)

// maxPortTries is how many ports freePort tries.
const maxPortTries = 50

// freePort returns the address, or the same host with the next free port if that one is in use. It
// returns the address unchanged if none of maxPortTries ports is free.
func freePort(address string) string {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	for n := range maxPortTries {
		next := net.JoinHostPort(host, strconv.Itoa(port+n))
		if l, err := net.Listen("tcp", next); err == nil {
			_ = l.Close()
			return next
		}
	}
	return address
}
