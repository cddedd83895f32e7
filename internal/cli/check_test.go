package cli

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
)

func TestCheckLooksAtTheCertificates(t *testing.T) {
	dir := t.TempDir()
	authority.New(t, time.Now()).Files(dir, nil, "collector1")
	config := file(t, fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n",
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")))
	status, out, errOut := muster(t, "check", "--config", config)
	if status != 0 || !strings.Contains(out, "nats://0.0.0.0:4222 (TLS, certificate valid for 3") {
		t.Errorf("%d %s %s", status, out, errOut)
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "run"} {
		status, _, errOut = muster(t, command, "--config", config)
		if status != 78 || !strings.Contains(errOut, "broker.tls: "+filepath.Join(dir, "key.pem")+": no such file or directory") {
			t.Errorf("%s: %d %s", command, status, errOut)
		}
	}
}

func TestCheckTellsHowLongTheCertificateIsGood(t *testing.T) {
	ca := authority.New(t, time.Now())
	for days, warned := range map[int]bool{20: true, 100: false} {
		dir := t.TempDir()
		ca.Files(dir, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, days) }, "collector1")
		config := file(t, fmt.Sprintf("[broker.tls]\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n", dir))
		var result struct {
			Warnings []string
			Days     float64 `json:"certificate_days"`
		}
		status, out, _ := muster(t, "check", "--config", config, "--json")
		if err := json.Unmarshal([]byte(out), &result); err != nil || status != 0 {
			t.Fatalf("%d %v: %s", status, err, out)
		}
		if result.Days < float64(days)-1 || result.Days > float64(days) {
			t.Errorf("good for %d days, and it says %.1f", days, result.Days)
		}
		if said := strings.Contains(strings.Join(result.Warnings, ""), "expires in"); said != warned {
			t.Errorf("good for %d days: %v", days, result.Warnings)
		}
		if _, out, _ := muster(t, "check", "--config", config); strings.Contains(out, "warning: the certificate") != warned || !strings.Contains(out, "certificates under "+dir) {
			t.Errorf("have %s", out)
		}
	}
}
