package contract

// Reasons why a message is rejected: it cannot be read, is not what it claims to be, or the
// stream will never accept it.
const (
	ReasonMalformed       = "malformed"        // not JSON, not base64, or not a known protocol
	ReasonSchema          = "schema"           // a field is missing, of another type or out of range
	ReasonNotUTF8         = "not-utf8"         // text that is not valid UTF-8, or a lone surrogate
	ReasonBadSender       = "bad-sender"       // the sender cannot be part of a subject
	ReasonBadID           = "bad-id"           // the request id cannot be part of a message id
	ReasonTooLarge        = "too-large"        // unpacks to more, or is larger, than allowed
	ReasonLimit           = "limit"            // beyond another limit: the subject, nesting, certificates, the token
	ReasonUnsigned        = "unsigned"         // it carries no signature
	ReasonUntrusted       = "untrusted"        // a certificate or token of an unknown authority
	ReasonExpired         = "expired"          // a certificate or token that is not valid at the time
	ReasonRevoked         = "revoked"          // a certificate or token that was revoked
	ReasonWrongSignature  = "wrong-signature"  // the signature does not match the message
	ReasonWrongName       = "wrong-name"       // signed by another identity than the sender
	ReasonWrongConnection = "wrong-connection" // it came over a connection of another identity
	ReasonStale           = "stale"            // not newer than what its sender has signed before
	ReasonRefused         = "refused"          // the stream returned an error that no retry can change
)

// Reasons why a message is dropped: it is neither stored nor rejected, although it may be
// valid.
const (
	ReasonBuffer     = "buffer"     // the buffer or the queue was full
	ReasonFlood      = "flood"      // the buffer was full, and its peer held more than its share
	ReasonConnection = "connection" // lost between the server and the adapter
	ReasonShutdown   = "shutdown"   // without an outcome when the drain time ended
)

// RejectReasons returns every reason why a message is rejected.
func RejectReasons() []string {
	return []string{
		ReasonMalformed, ReasonSchema, ReasonNotUTF8, ReasonBadSender, ReasonBadID, ReasonTooLarge, ReasonLimit,
		ReasonUnsigned, ReasonUntrusted, ReasonExpired, ReasonRevoked, ReasonWrongSignature, ReasonWrongName,
		ReasonWrongConnection, ReasonStale, ReasonRefused,
	}
}

// DropReasons returns every reason why a message is dropped.
func DropReasons() []string {
	return []string{ReasonBuffer, ReasonFlood, ReasonConnection, ReasonShutdown}
}
