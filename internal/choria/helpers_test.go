package choria

import (
	"crypto/ed25519"
	"encoding/hex"
)

// parseRequest reads one request with a new Parser.
func parseRequest(raw []byte) (*Message, error) { return new(Parser).Request(raw) }

// parseReply reads one reply with a new Parser.
func parseReply(raw []byte) (*Message, error) { return new(Parser).Reply(raw) }

// clientClaims returns the claims of a client of the organization "choria".
func clientClaims(caller string, permissions map[string]bool, key ed25519.PublicKey) Claims {
	return Claims{
		Purpose: PurposeClient, CallerID: caller, Permissions: permissions,
		OrgUnit: "choria", PublicKey: hex.EncodeToString(key),
	}
}
