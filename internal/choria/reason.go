package choria

import (
	"errors"

	"github.com/muster-appliance/muster/internal/contract"
)

// What can be wrong with a message. The errors of parsing, unpacking and verifying wrap
// one of these.
var (
	// ErrMalformed: not JSON, not base64, not a protocol that is known.
	ErrMalformed = errors.New(contract.ReasonMalformed)
	// ErrSchema: readable, but a field is missing, of another type or out of range.
	ErrSchema = errors.New(contract.ReasonSchema)
	// ErrNotUTF8: text that is not valid UTF-8, or holds half of a surrogate pair.
	ErrNotUTF8 = errors.New(contract.ReasonNotUTF8)
	// ErrBadSender: the sender's name could not be part of a subject.
	ErrBadSender = errors.New(contract.ReasonBadSender)
	// ErrBadID: the request id could not be part of a message id.
	ErrBadID = errors.New(contract.ReasonBadID)
	// ErrUnsigned: nothing came with the message that could show who wrote it.
	ErrUnsigned = errors.New(contract.ReasonUnsigned)
	// ErrUntrusted: a certificate or token from nobody we know, or for something else.
	ErrUntrusted = errors.New(contract.ReasonUntrusted)
	// ErrExpired: a certificate or token that is not valid at the time, or not yet.
	ErrExpired = errors.New(contract.ReasonExpired)
	// ErrWrongSignature: the signature, or a reply's hash, is not that of the message.
	ErrWrongSignature = errors.New(contract.ReasonWrongSignature)
	// ErrWrongName: it was signed by somebody else than who it says it is from.
	ErrWrongName = errors.New(contract.ReasonWrongName)
	// ErrTooLarge: a compressed registration that unpacks to more than is allowed.
	ErrTooLarge = errors.New(contract.ReasonTooLarge)
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
