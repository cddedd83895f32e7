package examples

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
)

func TestProvisioning_NodesWithoutIdentityConnect(t *testing.T) {
	site := newSite(t, true)
	password := filepath.Join(site.Dir, "provisioner.password")
	if err := os.WriteFile(password, []byte("a password of the provisioner\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(read(t, site.Dir, "issuer.seed")))
	if err != nil {
		t.Fatal(err)
	}
	claims := choria.Claims{Purpose: choria.PurposeProvisioning, OrgUnit: "choria"}
	token, err := choria.IssueToken(claims, ed25519.NewKeyFromSeed(seed), time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "provisioning", "appliance.toml")
	key := publicKey.FindString(text)
	for _, file := range []string{"provisioner.yaml", "helper.py"} {
		if !strings.Contains(read(t, "provisioning", file), key) {
			t.Errorf("%s has another issuer", file)
		}
	}
	a := start(t, site, strings.Replace(text, key, site.IssuerKey(), 1))
	nc := testkit.Connect(t, a, choriaOptions, nats.Name(node), nats.Token(token),
		nats.Secure(&tls.Config{RootCAs: pool(t, site.Dir), MinVersion: tls.VersionTLS12}))
	if _, err := nc.SubscribeSync("provisioning.node." + node); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); err != nil {
		t.Error(err)
	}
}
