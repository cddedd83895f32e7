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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/pki"
)

func TestGuard_RequiresToken(t *testing.T) {
	const token = "a token that is long enough"
	h := guard(token, newHandler(Options{Ready: func() []Reason { return nil }, Fleet: twoNodes{}, Events: twoNodes{}}))
	for _, test := range []struct {
		name, header string
		admitted     bool
	}{
		{"no header", "", false},
		{"no scheme", token, false},
		{"no token", "Bearer", false},
		{"empty token", "Bearer ", false},
		{"another scheme", "Basic " + token, false},
		{"longer token", "Bearer x" + token, false},
		{"shorter token", "Bearer " + token[1:], false},
		{"token", "Bearer " + token, true},
		{"lower-case scheme", "bearer " + token, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes", "/metrics", "/readyz", "/nowhere"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				if test.header != "" {
					r.Header.Set("Authorization", test.header)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				refused := w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "Bearer" &&
					strings.Contains(w.Body.String(), `{"code":"unauthorized","error":"the console requires its token`)
				if refused == test.admitted {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
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
		writeFile(t, files.Cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		writeFile(t, files.Key, text)
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
	writeFile(t, files.Cert, "broken")
	serves(2)
	serves(2)
	issue(3)
	serves(3)
	if strings.Count(log.String(), "not read again") != 1 {
		t.Errorf("the log says\n%s", log)
	}
}
