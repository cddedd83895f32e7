package choria

import (
	"errors"

	"github.com/muster-appliance/muster/internal/contract"
)

// Errors of parsing, unpacking and verifying a message wrap one of these. The text of each is its
// reason, see package contract.
var (
	// ErrMalformed: it is not JSON, not base64, or of an unknown protocol.
	ErrMalformed = errors.New(contract.ReasonMalformed)
	// ErrSchema: a field is missing, of another type or out of range.
	ErrSchema = errors.New(contract.ReasonSchema)
	// ErrNotUTF8: a text is not valid UTF-8, or contains half of a surrogate pair.
	ErrNotUTF8 = errors.New(contract.ReasonNotUTF8)
	// ErrBadSender: the sender's name cannot be part of a subject.
	ErrBadSender = errors.New(contract.ReasonBadSender)
	// ErrBadID: the request id cannot be part of a message id.
	ErrBadID = errors.New(contract.ReasonBadID)
	// ErrUnsigned: the message is not signed.
	ErrUnsigned = errors.New(contract.ReasonUnsigned)
	// ErrUntrusted: a certificate or token of an unknown authority, or issued for another purpose.
	ErrUntrusted = errors.New(contract.ReasonUntrusted)
	// ErrExpired: a certificate or token is no longer valid, or not yet.
	ErrExpired = errors.New(contract.ReasonExpired)
	// ErrRevoked: a certificate or token, or one of its issuer's, was revoked.
	ErrRevoked = errors.New(contract.ReasonRevoked)
	// ErrWrongSignature: the signature, or a reply's hash, does not match the message.
	ErrWrongSignature = errors.New(contract.ReasonWrongSignature)
	// ErrWrongName: the message was signed by another identity than its sender.
	ErrWrongName = errors.New(contract.ReasonWrongName)
	// ErrTooLarge: a registration unpacks to more than the limit.
	ErrTooLarge = errors.New(contract.ReasonTooLarge)
	// ErrLimit: reading or verifying it would take more memory or time than its size justifies.
	ErrLimit = errors.New(contract.ReasonLimit)
)

// Reason returns the one-word reason of an error of this package, as used in metrics and headers.
// It is "malformed" for any other error.
func Reason(err error) string {
	for _, known := range []error{
		ErrNotUTF8, ErrBadSender, ErrBadID, ErrTooLarge, ErrLimit, ErrSchema,
		ErrUnsigned, ErrUntrusted, ErrExpired, ErrRevoked, ErrWrongSignature, ErrWrongName,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ErrMalformed.Error()
}
