package choria

import (
	"fmt"
	"strings"
)

// Maximum lengths in bytes.
const (
	maxSender = 255
	maxID     = 64
)

// CheckSender returns an error unless the name of a sender is 1 to 255 bytes of
// A-Za-z0-9._:@=+- without empty tokens. Such a name can be part of a subject. The error wraps
// ErrBadSender.
func CheckSender(sender string) error {
	if sender == "" || len(sender) > maxSender {
		return fmt.Errorf("%w: the name has %d bytes, expected 1 to %d", ErrBadSender, len(sender), maxSender)
	}
	previous := byte('.')
	for i := range len(sender) {
		c := sender[i]
		if c == '.' && previous == '.' || !senderByte(c) {
			return fmt.Errorf("%w: %q", ErrBadSender, sender)
		}
		previous = c
	}
	if previous == '.' {
		return fmt.Errorf("%w: %q", ErrBadSender, sender)
	}
	return nil
}

// CheckNode returns an error unless a node of that name is admitted: the name is valid for a
// sender and has no "=". Names with "=" are those of clients; a node with such a name could read
// the inbox of that client. The error wraps ErrBadSender.
func CheckNode(name string) error {
	if err := CheckSender(name); err != nil {
		return err
	}
	if strings.Contains(name, "=") {
		return fmt.Errorf("%w: %q is the name of a client", ErrBadSender, name)
	}
	return nil
}

func senderByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("._:@=+-", c) >= 0
}

// checkID returns an error unless a request id is 1 to 64 printable ASCII bytes without space and
// "/". The error wraps ErrBadID.
func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("%w: the request id has %d bytes, expected 1 to %d", ErrBadID, len(id), maxID)
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7F || c == '/' {
			return fmt.Errorf("%w: %q", ErrBadID, id)
		}
	}
	return nil
}
