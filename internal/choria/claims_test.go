package choria

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
)

func TestClaims_CheckSignature(t *testing.T) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	claims := ServerClaims("web1", nil, public)
	signed := []byte("a nonce")
	checkError(t, claims.CheckSignature(signed, ed25519.Sign(key, signed)), nil)
	checkError(t, claims.CheckSignature([]byte("another nonce"), ed25519.Sign(key, signed)), ErrWrongSignature)
}
