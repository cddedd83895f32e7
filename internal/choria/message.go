// Package choria knows Choria's formats: requests and replies of network protocol 1 and 2,
// registrations, and the output of Choria's data adapters. It turns bytes into values and
// values into bytes; it opens no connection and trusts nobody.
//
// A message is nested three deep, in both protocols:
//
//	transport  who should get an answer, which way it came
//	secure     the message below as exact bytes, with what proves who wrote it
//	message    who, when, what for, and the body
//
// Published schemas: https://choria.io/schemas/choria/protocol/. Where they and what
// Choria's servers send differ, this package follows what is sent.
package choria

import "time"

// Protocol is a version of Choria's network protocol.
type Protocol int

// The protocols that exist: 1 is signed with X.509 certificates, 2 with ed25519 keys and tokens.
const (
	V1 Protocol = 1
	V2 Protocol = 2
)

// Message is a request or a reply as its sender claims it. Nothing in it is verified.
type Message struct {
	Protocol   Protocol
	Reply      bool
	ID         string    // 1 to 64 printable ASCII bytes without blank or "/"
	Sender     string    // 1 to 255 bytes that make subject tokens
	Caller     string    // requests only
	Collective string    // requests only
	Agent      string    //
	Time       time.Time // the sender's clock: whole seconds in protocol 1, nanoseconds in 2
	Body       []byte    // valid UTF-8

	TransportSender string // who the outermost layer says sent it; may be empty
	Proof           Proof
}

// Proof is what came with a message to show who wrote it.
type Proof struct {
	Signed      []byte // the exact bytes that the signature or hash covers
	Signature   string // base64; protocol 1 without security has words instead
	Certificate string // protocol 1 requests: PEM
	Token       string // protocol 2 requests: token of the caller; replies: of the sender
	SignerToken string // protocol 2 requests made for somebody else: token of the signer
	Hash        string // replies: base64 of the SHA-256 of Signed
}
