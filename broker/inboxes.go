package broker

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
)

// hashedInbox returns where a connection with a token receives replies. No other node or client
// may subscribe there.
func hashedInbox(collective, name string) []string {
	short, long := md5.Sum([]byte(name)), sha256.Sum256([]byte(name))
	return []string{
		collective + ".reply." + hex.EncodeToString(short[:]) + ".>",
		collective + ".reply." + hex.EncodeToString(long[:]) + ".>",
	}
}

// certInbox returns where a connection with a certificate receives replies. Choria's inboxes do not contain
// its name, so it may subscribe to those of all other certificates too.
func (b permissionBuilder) certInbox(name string) []string {
	shared := b.mainCollective + ".reply.*"
	return []string{shared + ".*", shared, InboxPrefix(name) + ".>"}
}

// allInboxes are those of NATS's libraries, unless they are told another prefix.
const allInboxes = "_INBOX.>"

// inboxHashLength is how many hexadecimal digits of the hash are in an inbox prefix.
const inboxHashLength = 32

// InboxPrefix returns the prefix of inboxes that belong to the certificate with that name alone.
func InboxPrefix(name string) string {
	hash := sha256.Sum256([]byte(name))
	return "_INBOX_" + hex.EncodeToString(hash[:])[:inboxHashLength]
}
