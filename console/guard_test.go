package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/pki"
)

func TestWithATokenNothingIsAnsweredWithoutIt(t *testing.T) {
	const token = "a token that is long enough"
	from := Options{Ready: func() []Reason { return nil }, Fleet: two{}, Events: two{}}
	for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes", "/metrics", "/readyz", "/nowhere"} {
		for header, want := range map[string]bool{
			"": false, token: false, "Bearer": false, "Bearer ": false, "Basic " + token: false, "Bearer x" + token: false, "Bearer " + token[1:]: false,
			"Bearer " + token: true, "bearer " + token: true,
		} {
			request := httptest.NewRequest(http.MethodGet, path, nil)
			if header != "" {
				request.Header.Set("Authorization", header)
			}
			w := httptest.NewRecorder()
			guard(token, handlerOf(from)).ServeHTTP(w, request)
			refused := w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "Bearer" && strings.Contains(w.Body.String(), `"error":"the console wants its token`)
			if refused == want {
				t.Errorf("%s with %q: %d %s", path, header, w.Code, w.Body)
			}
		}
	}
}

func TestACertificateIsReplacedWhileTheConsoleRuns(t *testing.T) {
	dir := t.TempDir()
	files := TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	issue := func(serial int64) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := pki.KeyPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, files.Cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		write(t, files.Key, text)
	}
	issue(1)
	log := &strings.Builder{}
	r := &renewed{files: files, log: hclog.New(&hclog.LoggerOptions{Output: log})}
	serves := func(serial int64) {
		t.Helper()
		pair, err := r.certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if have := pair.Leaf.SerialNumber.Int64(); have != serial {
			t.Errorf("certificate %d; want %d", have, serial)
		}
	}
	serves(1)
	issue(2)
	serves(2)
	write(t, files.Cert, "broken")
	serves(2)
	serves(2)
	issue(3)
	serves(3)
	if strings.Count(log.String(), "not read again") != 1 {
		t.Errorf("the log says\n%s", log)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
