package choria

import "errors"

// What can be wrong with a message. The errors of parsing, unpacking and verifying wrap
// one of these.
var (
	// ErrMalformed: not JSON, not base64, not a protocol that is known.
	ErrMalformed = errors.New("malformed")
	// ErrSchema: readable, but a field is missing, of another type or out of range.
	ErrSchema = errors.New("schema")
	// ErrNotUTF8: text that is not valid UTF-8, or holds half of a surrogate pair.
	ErrNotUTF8 = errors.New("not-utf8")
	// ErrBadSender: the sender's name could not be part of a subject.
	ErrBadSender = errors.New("bad-sender")
	// ErrBadID: the request id could not be part of a message id.
	ErrBadID = errors.New("bad-id")
	// ErrUnsigned: nothing came with the message that could show who wrote it.
	ErrUnsigned = errors.New("unsigned")
	// ErrUntrusted: a certificate or token from nobody we know, or for something else.
	ErrUntrusted = errors.New("untrusted")
	// ErrExpired: a certificate or token that is not valid at the time, or not yet.
	ErrExpired = errors.New("expired")
	// ErrWrongSignature: the signature, or a reply's hash, is not that of the message.
	ErrWrongSignature = errors.New("wrong-signature")
	// ErrWrongName: it was signed by somebody else than who it says it is from.
	ErrWrongName = errors.New("wrong-name")
	// ErrTooLarge: a compressed registration that unpacks to more than is allowed.
	ErrTooLarge = errors.New("too-large")
)

// Reason is the one word for an error of this package, as it stands in metrics and headers.
func Reason(err error) string {
	for _, known := range []error{
		ErrNotUTF8, ErrBadSender, ErrBadID, ErrTooLarge, ErrSchema,
		ErrUnsigned, ErrUntrusted, ErrExpired, ErrWrongSignature, ErrWrongName,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ErrMalformed.Error()
}
