package host

import (
	"net"
	"strconv"
)

// maxNextPorts is how many ports FreeAddress tries.
const maxNextPorts = 50

// FreeAddress returns an address, as host and port, on which a program can listen: this one, or
// the same host with one of the next ports. If all are taken it returns the address unchanged.
// Another program may take the port at any moment.
func FreeAddress(address string) string {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	for n := range maxNextPorts {
		next := net.JoinHostPort(host, strconv.Itoa(port+n))
		if l, err := net.Listen("tcp", next); err == nil {
			_ = l.Close()
			return next
		}
	}
	return address
}
