// Package choria knows Choria's formats: requests and replies of network protocols 1 and 2,
// registrations, tokens, lifecycle events, inventories, and the output of Choria's data
// adapters. It turns bytes into values and values into bytes, and it verifies signatures
// against the authorities that it is given. It opens no connection and reads no file.
//
// In both protocols a message has three layers, each a JSON text inside the one before:
//
//	transport  where replies go, and the hops that the message took
//	secure     the exact bytes of the inner message, and the proof of their author
//	message    sender, time, agent and body
//
// The schemas are published at https://choria.io/schemas/choria/protocol/. Where they differ
// from what Choria's servers send, this package follows what the servers send.
package choria

import "time"

// Protocol is a version of Choria's network protocol.
type Protocol int

// Versions of the protocol.
const (
	V1 Protocol = 1 // requests are signed with the key of an X.509 certificate
	V2 Protocol = 2 // messages are signed with the ed25519 key of a token
)

// Message is a request or a reply as its sender claims it. Only a Verifier says which of the
// claims are true.
type Message struct {
	Protocol   Protocol
	Reply      bool
	ID         string    // 1 to 64 printable ASCII bytes without space or "/"
	Sender     string    // 1 to 255 bytes that are valid in a subject, see CheckSender
	Caller     string    // requests only
	Collective string    // requests only
	Agent      string    // may be empty in protocol 1 and in replies
	Time       time.Time // the sender's clock, UTC: whole seconds in protocol 1, nanoseconds in 2
	Body       []byte    // valid UTF-8

	TransportSender string // the sender that the transport layer names; may be empty
	Proof           Proof
}

// Proof is the part of a message that proves its author.
type Proof struct {
	Signed      []byte // the exact bytes that the signature or the hash covers
	Signature   string // base64; in an unsigned request the base64 of a fixed text, see insecure
	Certificate string // requests of protocol 1: PEM, or a fixed text if the request is unsigned
	Token       string // protocol 2: the JWT of a request's caller or of a reply's sender
	SignerToken string // requests of protocol 2 signed on behalf of the caller: the signer's JWT
	Hash        string // replies: base64 of the SHA-256 of Signed
}
