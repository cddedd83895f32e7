package broker

import (
	"crypto/ed25519"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
)

// fullConfig returns a Config built by hand that sets everything which the file writes as text.
func fullConfig(key ed25519.PublicKey) Config {
	c := DefaultConfig()
	c.ClientHosts = prefixes("10.1.0.0/16", "192.0.2.1/32", "2001:db8::/32")
	c.Issuers = choria.Issuers{"choria": key}
	return c
}

func TestConfig_BuiltByHandIsLikeLoaded(t *testing.T) {
	key, err := choria.PublicKey("4aec06a5bd3ef1ef82acc13357287a9a0a55a4cbceea433837d20c7c7604ea64")
	if err != nil {
		t.Fatal(err)
	}
	text := "client_hosts = ['10.1.0.0/16', '192.0.2.1', '2001:db8::/32']\n" +
		"[issuers]\nchoria = '" + hex.EncodeToString(key) + "'\n"
	loaded := DefaultConfig()
	if err := config.Load("broker.toml", []byte(text), &loaded); err != nil {
		t.Fatal(err)
	}
	if byHand := fullConfig(key); !reflect.DeepEqual(loaded, byHand) {
		t.Errorf("loaded\n%+v\nby hand\n%+v", loaded, byHand)
	}
}

func TestConfig_ValidateChangesNothing(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"issuer":   func(*Config) {},
		"signer":   func(c *Config) { c.Issuers, c.Signers.Client = nil, []SignerKey{{"key.pem", public}} },
		"no trust": func(c *Config) { c.Issuers = nil },
	} {
		t.Run(name, func(t *testing.T) {
			before, after := fullConfig(public), fullConfig(public)
			edit(&before)
			edit(&after)
			if err := config.Load("", nil, &after); err != nil { // which validates every table
				t.Fatal(err)
			}
			if !reflect.DeepEqual(before, after) {
				t.Errorf("before\n%+v\nafter\n%+v", before, after)
			}
		})
	}
}

func TestConfig_ListenAddress(t *testing.T) {
	withTLS := DefaultConfig()
	withTLS.TLS = filesIn("/etc/muster")
	explicit := withTLS
	explicit.Listen = "192.0.2.1:5222"
	for name, test := range map[string]struct {
		cfg  Config
		want string
	}{
		"lab": {DefaultConfig(), labListen}, "TLS": {withTLS, networkListen}, "explicit": {explicit, "192.0.2.1:5222"},
	} {
		t.Run(name, func(t *testing.T) {
			if have := test.cfg.ListenAddress(); have != test.want {
				t.Errorf("have %s, want %s", have, test.want)
			}
		})
	}
}
