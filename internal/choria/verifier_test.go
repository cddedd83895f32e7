package choria

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerifier_Captures(t *testing.T) {
	v := capturedVerifier(t)
	// The clients ran on a host called vm and sign with their own names; they register nothing.
	exceptions := map[string]error{
		"v1-mtls/registration-file-wrong-cert.transport.json": ErrWrongName,
		"v1-mtls/rpc-broadcast-request.transport.json":        ErrWrongName,
		"v1-mtls/rpc-direct-request.transport.json":           ErrWrongName,
		"v2-issuer/rpc-broadcast-request.transport.json":      ErrUntrusted,
		"v2-issuer/rpc-direct-request.transport.json":         ErrUntrusted,
		"v2-issuer/rpc-direct-request-chain.transport.json":   ErrUntrusted,
		"v1-anon-jwt/registration-file.transport.json":        ErrUnsigned,
		"v1-anon-jwt/registration-inventory.transport.json":   ErrUnsigned,
		"v1-insecure/registration-file.transport.json":        ErrUnsigned,
		"v1-mtls/rpc-broadcast-reply.transport.json":          ErrUnsigned,
		"v1-mtls/rpc-direct-reply.transport.json":             ErrUnsigned,
		"v1-mtls/rpc-async-reply.transport.json":              ErrUnsigned,
	}
	for _, c := range captures(t, "registration", "transport") {
		t.Run(c.File, func(t *testing.T) {
			m, err := c.parse(read(t, c.File))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time from the cache
				how, err := v.Verify(m, validTime)
				want := VerifiedX509
				if m.Protocol == V2 {
					want = VerifiedJWT
				}
				if except := exceptions[c.File]; except != nil {
					if !errors.Is(err, except) || how != "" || Reason(err) != except.Error() {
						t.Errorf("have %q %v, want %v", how, err, except)
					}
				} else if err != nil || how != want {
					t.Errorf("have %q %v, want %q", how, err, want)
				}
			}
			if _, err := newVerifier(nil, nil).Verify(m, validTime); err == nil {
				t.Error("verified without any authority")
			}
		})
	}
}

// TestVerifier_RejectsEveryChangedByte changes each byte of the proof of a message.
func TestVerifier_RejectsEveryChangedByte(t *testing.T) {
	v := capturedVerifier(t)
	signature := []error{ErrWrongSignature}
	for _, c := range captures(t, "registration", "transport") {
		t.Run(c.File, func(t *testing.T) {
			m, err := c.parse(read(t, c.File))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(m, validTime); err != nil {
				return // not signed by a node
			}
			flip := func(part string, text []byte, set func(*Message, []byte), allowed []error) {
				t.Helper()
				for at := range text {
					changed := bytes.Clone(text)
					changed[at] ^= 1
					n := *m
					set(&n, changed)
					err := verify(v, &n, validTime)
					if !slices.ContainsFunc(allowed, func(e error) bool { return errors.Is(err, e) }) {
						t.Fatalf("byte %d of the %s: %v", at, part, err)
					}
				}
			}
			flip("signed part", m.Proof.Signed, func(n *Message, b []byte) { n.Proof.Signed = b }, signature)
			raw, err := base64.StdEncoding.DecodeString(m.Proof.Signature)
			if err != nil {
				t.Fatal(err)
			}
			flip("signature", raw, func(n *Message, b []byte) {
				n.Proof.Signature = base64.StdEncoding.EncodeToString(b)
			}, signature)
			if m.Protocol == V2 {
				setToken := func(n *Message, b []byte) { n.Proof.Token = string(b) }
				flip("token", []byte(m.Proof.Token), setToken, []error{ErrUntrusted})
				return
			}
			block, _ := pem.Decode([]byte(m.Proof.Certificate))
			flip("certificate", block.Bytes, func(n *Message, b []byte) {
				n.Proof.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}))
			}, []error{ErrUntrusted, ErrExpired, ErrLimit})
		})
	}
}

func TestVerifier_RejectsOtherNames(t *testing.T) {
	v := capturedVerifier(t)
	for _, file := range []string{fileV1, fileV2} {
		m, err := parseRequest(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, edit := range map[string]func(*Message){
			"sender":           func(n *Message) { n.Sender = "node2.example.net" },
			"caller":           func(n *Message) { n.Caller = strings.Replace(n.Caller, "node1", "node2", 1) },
			"caller malformed": func(n *Message) { n.Caller = "=" },
			"caller and more":  func(n *Message) { n.Caller += "/x" },
			"transport":        func(n *Message) { n.TransportSender = "node2.example.net" },
		} {
			t.Run(file+"/"+name, func(t *testing.T) {
				n := *m
				edit(&n)
				checkError(t, verify(v, &n, validTime), ErrWrongName)
			})
		}
		n := *m
		n.TransportSender = "" // may be empty
		if _, err := v.Verify(&n, validTime); err != nil {
			t.Errorf("%s: without a transport sender: %v", file, err)
		}
	}
}

func TestVerifier_ChecksValidityAtReception(t *testing.T) {
	for _, file := range []string{fileV1, fileV2, "v2-issuer/registration-file-chain.transport.json"} {
		m, err := parseRequest(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, now := range map[string]time.Time{
			"before": validTime.AddDate(-10, 0, 0), "after": validTime.AddDate(30, 0, 0),
		} {
			t.Run(file+"/"+name, func(t *testing.T) {
				v := capturedVerifier(t)
				checkError(t, verify(v, m, now), ErrExpired)
				checkError(t, verify(v, m, validTime), nil)
				checkError(t, verify(v, m, now), ErrExpired) // from the cache
			})
		}
	}
}

func TestVerifier_ChecksTokens(t *testing.T) {
	issuerPublic, issuer, _ := ed25519.GenerateKey(rand.Reader)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	otherPublic, _, _ := ed25519.GenerateKey(rand.Reader)
	v := newVerifier(nil, Issuers{"choria": issuerPublic})
	token := func(identity string, public ed25519.PublicKey, issuer ed25519.PrivateKey) string {
		t.Helper()
		text, err := IssueToken(ServerClaims(identity, []string{"choria"}, public), issuer, validTime, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := token("web1", public, issuer)
	chain := ServerClaims("web1", []string{"choria"}, public)
	chain.TrustChain = "x"
	chained, err := IssueToken(chain, issuer, validTime, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token string
		key   ed25519.PrivateKey
		want  error
	}{
		"good":          {good, key, nil},
		"other issuer":  {token("web1", public, other), key, ErrUntrusted},
		"other name":    {token("web2", public, issuer), key, ErrWrongName},
		"other key":     {token("web1", otherPublic, issuer), key, ErrWrongSignature},
		"not signed":    {good, nil, ErrUnsigned},
		"no token":      {"x", key, ErrUntrusted},
		"alg none":      {"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".", key, ErrUntrusted},
		"trailing bits": {good[:len(good)-1] + flipPaddingBit(good[len(good)-1]), key, ErrUntrusted},
		"a chain alone": {chained, key, ErrUntrusted},
		"client token":  {string(read(t, "creds/issuer-rip.jwt")), key, ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := NewRegistration("id", "web1", "choria", validTime, []byte("{}")).EncodeV2(test.key, test.token)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parseRequest(raw)
			if err != nil {
				t.Fatal(err)
			}
			checkError(t, verify(v, m, validTime.Add(time.Minute)), test.want)
			m.Proof.SignerToken = good // signed on behalf of the caller
			checkError(t, verify(v, m, validTime.Add(time.Minute)), ErrUntrusted)
		})
	}
}

// flipPaddingBit changes a bit of a base64 letter that stands for no byte at the end of a token.
func flipPaddingBit(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, letter)^1])
}

func TestVerifier_ChecksHashAndSignatureOfReplies(t *testing.T) {
	v := capturedVerifier(t)
	m, err := parseReply(read(t, fileReplyV2))
	if err != nil {
		t.Fatal(err)
	}
	if how, err := v.Verify(m, validTime); err != nil || how != VerifiedJWT {
		t.Errorf("%s %v", how, err)
	}
	changed := *m
	changed.Proof.Signed = append([]byte(" "), m.Proof.Signed...)
	sum := sha256.Sum256(changed.Proof.Signed)
	changed.Proof.Hash = base64.StdEncoding.EncodeToString(sum[:]) // anyone can compute it
	if _, err := v.Verify(&changed, validTime); !errors.Is(err, ErrWrongSignature) {
		t.Errorf("a reply with a new hash: %v", err)
	}
	for name, edit := range map[string]func(*Message){
		"no hash":    func(n *Message) { n.Proof.Hash = "" },
		"wrong hash": func(n *Message) { n.Proof.Hash = "AAAA" },
	} {
		t.Run(name, func(t *testing.T) {
			n := *m
			edit(&n)
			checkError(t, verify(v, &n, validTime), ErrWrongSignature)
		})
	}
	unsigned := *m
	unsigned.Proof.Signature = ""
	checkError(t, verify(v, &unsigned, validTime), ErrUnsigned)
}

func TestVerifier_RejectsLineFeedsInBase64(t *testing.T) {
	v := capturedVerifier(t)
	request, err := parseRequest(read(t, fileV2))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := parseReply(read(t, fileReplyV2))
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"\n", "\r"} {
		n := *request
		n.Proof.Token += end
		checkError(t, verify(v, &n, validTime), ErrUntrusted)
		n = *request
		n.Proof.Signature += end
		checkError(t, verify(v, &n, validTime), ErrWrongSignature)
		n = *reply
		n.Proof.Hash += end
		checkError(t, verify(v, &n, validTime), ErrWrongSignature)
	}
}
