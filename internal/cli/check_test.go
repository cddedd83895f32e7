package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// tlsConfig returns the file of a configuration whose broker uses the certificate files in dir.
func tlsConfig(t *testing.T, dir string) string {
	t.Helper()
	return writeConfig(t, fmt.Sprintf("[broker.tls]\ncert = '%[1]s/cert.pem'\n"+
		"key = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n", dir))
}

func TestCheck_ReportsAMissingKeyFile(t *testing.T) {
	dir := t.TempDir()
	authority.New(t, time.Now()).Files(dir, nil, "collector1")
	config := tlsConfig(t, dir)
	status, out, errOut := muster(t, "check", "--config", config)
	if status != 0 || !strings.Contains(out, "nats://0.0.0.0:4222 (TLS, certificate valid for 3") {
		t.Errorf("with all files: %d %s %s", status, out, errOut)
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	want := "broker.tls: " + filepath.Join(dir, "key.pem") + ": no such file or directory"
	for _, command := range []string{"check", "run"} {
		t.Run(command, func(t *testing.T) {
			if status, _, errOut := muster(t, command, "--config", config); status != 78 || !strings.Contains(errOut, want) {
				t.Errorf("%d %s", status, errOut)
			}
		})
	}
}

func TestCheck_ReadsTheFilesForAHub(t *testing.T) {
	dir := t.TempDir()
	authority.New(t, time.Now()).Files(dir, nil, "collector1.ams.example.net")
	seed := filepath.Join(dir, "seed")
	config := writeConfig(t, fmt.Sprintf("site = 'ams'\n[forward.hub]\nservers = 'wss://hub.example.net/nats'\n"+
		"proxy = 'http://edge:secret@proxy.example.net:3128'\ntoken = 'x'\nseed = '%s'\n"+
		"[forward.hub.tls]\ncert = '%[2]s/cert.pem'\nkey = '%[2]s/key.pem'\nca = '%[2]s/ca.pem'\n", seed, dir))
	for name, test := range map[string]struct {
		missing, want string
		status        int
	}{
		"all files": {"", "hub: wss://hub.example.net/nats through http://proxy.example.net:3128", statusOK},
		"no seed":   {seed, "forward.hub: read seed: open " + seed, statusConfig},
		"no CA":     {dir + "/ca.pem", "forward.hub: " + dir + "/ca.pem: no such file", statusConfig},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, seed, strings.Repeat("ab", 32))
			if test.missing != "" {
				saved := test.missing + ".saved"
				if err := os.Rename(test.missing, saved); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Rename(saved, test.missing) }()
			}
			status, out, errOut := muster(t, "check", "--config", config)
			if status != test.status || !strings.Contains(out+errOut, test.want) || strings.Contains(out+errOut, "secret") {
				t.Errorf("%d %s%s; want %s", status, out, errOut, test.want)
			}
		})
	}
}

// TestCheck_ReadsTheFilesOfALeafnode requires that check and run report the same mistakes.
func TestCheck_ReadsTheFilesOfALeafnode(t *testing.T) {
	dir, other, now := t.TempDir(), t.TempDir(), time.Now()
	ca := authority.New(t, now)
	ca.Files(dir, nil, "collector1.ams.example.net")
	ca.Files(other, nil, "collector2.ams.example.net")
	seed, key := filepath.Join(dir, "seed"), ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	write(t, seed, hex.EncodeToString(key.Seed()))
	write(t, filepath.Join(other, "seed"), strings.Repeat("ab", ed25519.SeedSize))
	claims := choria.ClientClaims("choria=ams", key.Public().(ed25519.PublicKey))
	token, err := choria.IssueToken(claims, key, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair := fmt.Sprintf("cert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\n", dir)
	for name, test := range map[string]struct{ remote, tls, want string }{
		"all files":         {"token = '" + token + "'\nseed = '" + seed + "'\n", pair + "ca = '" + dir + "/ca.pem'\n", ""},
		"no seed":           {"token = '" + token + "'\nseed = '/nonexist'\n", "", "read seed: open /nonexist"},
		"a PEM file":        {"token = '" + token + "'\nseed = '" + dir + "/key.pem'\n", "", dir + "/key.pem: "},
		"not a token":       {"token = 'x'\nseed = '" + seed + "'\n", "", "the token is not one of Choria"},
		"a seed of another": {"token = '" + token + "'\nseed = '" + other + "/seed'\n", "", "the token is for another seed"},
		"no CA":             {"", pair + "ca = '/nonexist'\n", "/nonexist: no such file"},
		"a key as CA":       {"", pair + "ca = '" + dir + "/key.pem'\n", dir + "/key.pem: "},
		"a key of another": {"", "cert = '" + dir + "/cert.pem'\nkey = '" + other + "/key.pem'\n",
			"private key does not match public key"},
	} {
		t.Run(name, func(t *testing.T) {
			config := writeConfig(t, "[broker.leafnodes.remote.hub]\nurls = ['tls://hub.example.net:7422']\nallow = 'clients'\n"+
				test.remote+"[broker.leafnodes.remote.hub.tls]\n"+test.tls)
			status, out, errOut := muster(t, "check", "--config", config)
			if test.want == "" {
				if status != statusOK {
					t.Errorf("%d %s%s", status, out, errOut)
				}
				return
			}
			if status != statusConfig || !strings.Contains(errOut, "broker.leafnodes.remote.hub: ") ||
				!strings.Contains(errOut, test.want) {
				t.Errorf("%d %s%s; want %s", status, out, errOut, test.want)
			}
			if status, _, errOut := muster(t, "run", "--config", config); status != statusConfig {
				t.Errorf("run: %d %s", status, errOut)
			}
		})
	}
}

func TestCheck_ReadsRevocations(t *testing.T) {
	dir, ca := t.TempDir(), authority.New(t, time.Now())
	ca.Files(dir, nil, "collector1")
	crl := filepath.Join(dir, "crl.pem")
	config := tlsConfig(t, dir)
	appendTo(t, config, "crl = '"+crl+"'\n")
	past := func(c *x509.RevocationList) { c.NextUpdate = time.Now().Add(-time.Minute) }
	for name, test := range map[string]struct {
		text, want string
		status     int
	}{
		"missing":         {"", ": broker.tls.crl: " + crl + ": no such file or directory", statusConfig},
		"broken":          {"x", ": broker.tls.crl: " + crl + ": is not PEM", statusConfig},
		"past nextUpdate": {ca.CRL(past), "warning: the CRL of CN=Test CA ended on ", statusOK},
		"of another CA":   {authority.New(t, time.Now()).CRL(nil), "warning: there is no CRL of CN=Test CA", statusOK},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(crl) // of the case before
			if test.text != "" {
				write(t, crl, test.text)
			}
			status, out, errOut := muster(t, "check", "--config", config)
			if status != test.status || !strings.Contains(out+errOut, test.want) {
				t.Errorf("%d %s%s, want %q", status, out, errOut, test.want)
			}
			if test.status == statusOK {
				return
			}
			if status, _, errOut := muster(t, "run", "--config", config); status != test.status {
				t.Errorf("run: %d %s", status, errOut)
			}
		})
	}
}

func TestCheck_WarnsBeforeTheCertificateExpires(t *testing.T) {
	ca := authority.New(t, time.Now())
	for days, warned := range map[int]bool{20: true, 100: false} {
		t.Run(fmt.Sprintf("%d days before", days), func(t *testing.T) {
			dir := t.TempDir()
			ca.Files(dir, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, days) }, "collector1")
			config := tlsConfig(t, dir)
			var result struct {
				Warnings []string
				Days     float64 `json:"certificate_days"`
			}
			status, out, _ := muster(t, "check", "--config", config, "--json")
			if err := json.Unmarshal([]byte(out), &result); err != nil || status != 0 {
				t.Fatalf("%d %v: %s", status, err, out)
			}
			if result.Days < float64(days)-1 || result.Days > float64(days) {
				t.Errorf("certificate_days is %.1f", result.Days)
			}
			if has := strings.Contains(strings.Join(result.Warnings, ""), "expires in"); has != warned {
				t.Errorf("warnings %v", result.Warnings)
			}
			_, out, _ = muster(t, "check", "--config", config)
			if strings.Contains(out, "warning: the certificate") != warned ||
				!strings.Contains(out, "certificates signed by the CA in "+dir) {
				t.Errorf("output %s", out)
			}
		})
	}
}

// A CA alone verifies messages, but any connection could write a message that looks verified.
func TestCheck_RefusesACAWithoutCertificate(t *testing.T) {
	config := writeConfig(t, "[broker.tls]\nca = 'ca.pem'\n")
	for _, command := range []string{"check", "run"} {
		t.Run(command, func(t *testing.T) {
			status, _, errOut := muster(t, command, "--config", config)
			if status != 78 || !strings.Contains(errOut, "broker.tls.ca: given without cert and key") {
				t.Errorf("%d %s", status, errOut)
			}
		})
	}
}
