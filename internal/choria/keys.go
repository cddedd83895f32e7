package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// PublicKey parses an ed25519 public key in Choria's form: 64 hex characters.
func PublicKey(text string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("not an ed25519 public key: expected 64 hex characters")
	}
	return key, nil
}

// SignerKey parses the public key of a signer of tokens: an ed25519 key of 64 hex characters, or the
// PEM text of a certificate or of a public key, RSA or ed25519.
func SignerKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		key, err := PublicKey(strings.TrimSpace(text))
		if err != nil {
			return nil, errors.New("neither PEM nor 64 hex characters of an ed25519 public key")
		}
		return key, nil
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	switch key.(type) {
	case *rsa.PublicKey, ed25519.PublicKey:
		return key, nil
	}
	return nil, errors.New("the key is neither RSA nor ed25519")
}

// Seed parses an ed25519 seed in Choria's form: 64 hex characters.
func Seed(text string) (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("not an ed25519 seed: expected 64 hex characters")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ReadSeed reads the file of an ed25519 seed, see Seed.
func ReadSeed(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read seed: %w", err)
	}
	key, err := Seed(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
