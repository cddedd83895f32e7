package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/pki"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

func TestCertificate_ReplacedWhileRunning(t *testing.T) {
	dir := t.TempDir()
	files := tlsfile.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	issue := func(serial int64) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"localhost"},
		}
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
		for _, file := range []string{files.Cert, files.Key} { // written within one tick of the file system's clock
			written := time.Unix(1_000_000+serial, 0)
			if err := os.Chtimes(file, written, written); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue(1)
	log := &strings.Builder{}
	c, err := openCertificate(files, time.Now, hclog.New(&hclog.LoggerOptions{Output: log}))
	if err != nil {
		t.Fatal(err)
	}
	serves := func(serial int64) {
		t.Helper()
		pair, err := c.getCertificate(nil)
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
	if strings.Count(log.String(), "certificates not reloaded") != 1 {
		t.Errorf("the log says\n%s", log)
	}
}
