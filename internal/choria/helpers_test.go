package choria

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// parseRequest reads one request with a new Parser.
func parseRequest(raw []byte) (*Message, error) { return new(Parser).Request(raw) }

// parseReply reads one reply with a new Parser.
func parseReply(raw []byte) (*Message, error) { return new(Parser).Reply(raw) }

const (
	fileV1      = "v1-mtls/registration-file.transport.json"
	fileV2      = "v2-issuer/registration-file.transport.json"
	fileReplyV1 = "v1-mtls/rpc-direct-reply.transport.json"
	fileReplyV2 = "v2-issuer/rpc-direct-reply.transport.json"
)

// read returns the contents of a file in testdata.
func read(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// capture is one entry of testdata/expected.json: a message of a real Choria server, and what an
// independent program decoded it to.
type capture struct {
	File    string
	Kind    string
	Subject string
	Decoded struct {
		Agent, Caller, Collective, Protocol, Sender string
		MessageProtocol                             string `json:"message_protocol"`
		RequestID                                   string
		DataSHA256                                  string `json:"data_sha256"`
		Time                                        time.Time
		TransportHeaders                            map[string]any `json:"transport_headers"`
	}
	Adapter struct {
		Protocol, Sender, RequestID string
		Time                        time.Time
	}
	DataSHA256 string `json:"data_sha256"`
}

func (c capture) reply() bool {
	protocol := strings.TrimSuffix(c.Decoded.MessageProtocol, ":1")
	return strings.HasSuffix(protocol, "reply")
}

// parse parses the capture as the request or reply that it is.
func (c capture) parse(raw []byte) (*Message, error) {
	if c.reply() {
		return parseReply(raw)
	}
	return parseRequest(raw)
}

// captures returns the captures of the given kinds.
func captures(tb testing.TB, kinds ...string) []capture {
	tb.Helper()
	var all, wanted []capture
	if err := json.Unmarshal(read(tb, "expected.json"), &all); err != nil {
		tb.Fatal(err)
	}
	for _, c := range all {
		for _, kind := range kinds {
			if c.Kind == kind {
				wanted = append(wanted, c)
			}
		}
	}
	if len(wanted) == 0 {
		tb.Fatalf("no captures of %v", kinds)
	}
	return wanted
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// parserOf returns the parser for the requests or replies in a file.
func parserOf(file string) func([]byte) (*Message, error) {
	if strings.Contains(file, "reply") {
		return parseReply
	}
	return parseRequest
}

// layers are the decoded layers of a message. A test changes one of them and encodes the message
// again, as a real sender would.
type layers struct {
	transport, secure, message map[string]any
	messageKey                 string // the key in the secure layer that holds the message
}

// openLayers decodes the layers of a message.
func openLayers(tb testing.TB, raw []byte) *layers {
	tb.Helper()
	l := &layers{}
	decode := func(text []byte) map[string]any {
		var into map[string]any
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&into); err != nil {
			tb.Fatal(err)
		}
		return into
	}
	l.transport = decode(raw)
	secure, err := base64.StdEncoding.DecodeString(l.transport["data"].(string))
	if err != nil {
		tb.Fatal(err)
	}
	l.secure = decode(secure)
	for _, key := range []string{"message", "request", "reply"} {
		if text, ok := l.secure[key].(string); ok {
			l.messageKey = key
			message := []byte(text)
			if key != "message" {
				if message, err = base64.StdEncoding.DecodeString(text); err != nil {
					tb.Fatal(err)
				}
			}
			l.message = decode(message)
		}
	}
	return l
}

// encode encodes the layers; edit, if not nil, changes the text of the innermost one before.
func (l *layers) encode(tb testing.TB, edit func(message string) string) []byte {
	tb.Helper()
	marshal := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return string(text)
	}
	message := marshal(l.message)
	if edit != nil {
		message = edit(message)
	}
	text := marshal(l.secure[l.messageKey])
	encoded := marshal(message)
	if l.messageKey != "message" {
		encoded = marshal(base64.StdEncoding.EncodeToString([]byte(message)))
	}
	secure := strings.Replace(marshal(l.secure), text, encoded, 1)
	l.transport["data"] = base64.StdEncoding.EncodeToString([]byte(secure))
	return []byte(marshal(l.transport))
}

// envelope returns the object that holds the fields of the message.
func (l *layers) envelope() map[string]any {
	if e, ok := l.message["envelope"].(map[string]any); ok {
		return e
	}
	return l.message
}

// checkError checks that an error wraps the wanted one; nil means no error.
func checkError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("have %v, want %v", err, want)
	}
}

// verify verifies a message and returns the error only.
func verify(v *Verifier, m *Message, now time.Time) error {
	_, err := v.Verify(m, now)
	return err
}

// validTime is a time at which every captured certificate and token is valid.
var validTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// capturedVerifier returns a verifier that trusts the authorities of the captures.
func capturedVerifier(tb testing.TB) *Verifier {
	tb.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(tb, "creds/ca.pem")) {
		tb.Fatal("no CA")
	}
	key, err := PublicKey(string(read(tb, "creds/issuer.public")))
	if err != nil {
		tb.Fatal(err)
	}
	return newVerifier(roots, Issuers{"choria": key})
}

// TrustRoots does what Trust does, for a pool of CAs.
func (v *Verifier) TrustRoots(roots *x509.CertPool) {
	v.certificates.trusted.Store(&trust{roots: roots})
}

// newVerifier returns a verifier that trusts the roots, which may be nil, and the issuers.
func newVerifier(roots *x509.CertPool, issuers Issuers) *Verifier {
	v := NewVerifier(NewTokenVerifier(issuers, Signers{}))
	v.TrustRoots(roots)
	return v
}

// clientClaims returns the claims of a client of the organization "choria".
func clientClaims(caller string, permissions map[string]bool, key ed25519.PublicKey) Claims {
	return Claims{
		Purpose: PurposeClient, CallerID: caller, Permissions: permissions,
		OrgUnit: "choria", PublicKey: hex.EncodeToString(key),
	}
}

// signedRequest returns a registration of web1, signed with the key and with that certificate.
func signedRequest(t *testing.T, key *rsa.PrivateKey, certificate string) *Message {
	t.Helper()
	r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", validTime, []byte("{}"))
	r.Caller = "choria=web1"
	raw, err := r.EncodeV1(key, certificate)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
