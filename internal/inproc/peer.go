package inproc

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// Peer is the connection that published a message. The server reports it in a header if the message
// came over an account import that shares it; see broker.Intake.
type Peer struct {
	ID   uint64 // of the connection; 0: the server did not report it
	User string // that the broker admitted the connection as; in a lab the connection chose it
	Name string // that the connection gave itself
	Host string // address of the connection; not one for a connection within this process
	Kind string // in the server's words: Client, or another word for the server itself
	// Account is that of the connection. A component that answers over an account of its own, on a reply subject
	// that a node chose, is a Client too, of another account than nodes and clients.
	Account string
}

// KindClient is the Kind of a connection of a node or client, or of the appliance.
const KindClient = "Client"

const (
	// requestInfo is the header in which the server reports the publisher, as JSON.
	requestInfo = "Nats-Request-Info: "
	// traceDisabled is the only header that the server may add after that one.
	traceDisabled = "\r\nNats-Trace-Dest: trace disabled"
	// maxPeerBytes is how many bytes at the end of the headers are searched for the publisher. The
	// broker limits what a connection may choose of it.
	maxPeerBytes = 8 << 10
)

// peerReader reads the publishers of messages from their headers. It remembers the last one, because
// the next message is often of the same.
type peerReader struct {
	text string // the JSON of peer
	peer Peer
}

// read returns the publisher that the end of a header block names, or the zero Peer.
//
// Only the last line counts, and it must begin with the name of the header and hold one complete JSON
// object. A publisher chooses the headers before it, which may look the same and may end within a
// line: the server does not check them. It removes most copies of its own header, but not all.
func (r *peerReader) read(headers []byte) Peer {
	headers = bytes.TrimSuffix(headers, []byte("\r\n\r\n"))
	headers = bytes.TrimSuffix(headers, []byte(traceDisabled))
	line := headers[bytes.LastIndexByte(headers, '\n')+1:]
	text, found := bytes.CutPrefix(line, []byte(requestInfo))
	if !found {
		return Peer{}
	}
	if string(text) != r.text {
		r.text = string(text)
		r.peer = parsePeer(r.text)
	}
	return r.peer
}

// parsePeer returns the Peer that the JSON describes; it is zero if that is not one valid object.
func parsePeer(text string) (p Peer) {
	if !gjson.Valid(text) {
		return p
	}
	gjson.Parse(text).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "id":
			p.ID = value.Uint()
		case "user":
			p.User = strings.Clone(value.Str) // the text is longer
		case "name":
			p.Name = strings.Clone(value.Str)
		case "host":
			p.Host = strings.Clone(value.Str)
		case "kind":
			p.Kind = strings.Clone(value.Str)
		case "acc":
			p.Account = strings.Clone(value.Str)
		}
		return true
	})
	return p
}
