package brokerconf

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/muster-appliance/muster/internal/translate"
)

// translated returns the tables of the appliance.toml that a configuration becomes.
func translated(t *testing.T, text string) (tables map[string]any, remarks []translate.Remark) {
	t.Helper()
	out, remarks := read(t, text).Translate("choria1.example.net")
	if _, err := toml.Decode(out, &tables); err != nil {
		t.Fatal(err)
	}
	return tables, remarks
}

func TestTranslate_HostNamesDoNotWidenClientHosts(t *testing.T) {
	for given, want := range map[string]string{
		"bastion":                         "127.0.0.0/8 ::1",
		"bastion, admin.example.net, 1.2": "127.0.0.0/8 ::1",
		"bastion, 192.0.2.0/24, ::2":      "192.0.2.0/24 ::2",
		"192.0.2.1":                       "192.0.2.1",
	} {
		t.Run(given, func(t *testing.T) {
			tables, remarks := translated(t, network+"client_hosts = "+given+"\n")
			list, _ := tables["broker"].(map[string]any)["client_hosts"].([]any)
			var have []string
			for _, host := range list {
				have = append(have, host.(string))
			}
			if strings.Join(have, " ") != want {
				t.Errorf("client_hosts are %q, want %q", have, want)
			}
			for name := range strings.SplitSeq(given, ", ") {
				left := strings.Contains(want, name)
				for _, remark := range remarks {
					left = left || remark.Class == translate.Caution && strings.HasPrefix(remark.Reason, name+" is left out")
				}
				if !left {
					t.Errorf("%s disappears without a remark: %v", name, remarks)
				}
			}
		})
	}
}

func TestTranslate_NodesOfSignersNeedNotSign(t *testing.T) {
	const signer = network + "server_signer_cert = a8c5cb4f5ea9dda0a8b3d3e1f0ea7e3a94dc2a8f7d0b6cbf9f2f8b1b5b0f3a11\n"
	const issuer = security + "issuer.names = a\n" +
		security + "issuer.a.public = a8c5cb4f5ea9dda0a8b3d3e1f0ea7e3a94dc2a8f7d0b6cbf9f2f8b1b5b0f3a11\n"
	const imported = "plugin.choria.adapters = discovery\n" +
		adapterKeys + "discovery.type = jetstream\n" + adapterKeys + "discovery.ingest.protocol = request\n" +
		adapterKeys + "discovery.ingest.topic = mcollective.broadcast.agent.registration\n"
	for name, test := range map[string]struct {
		conf, adapter string
		want          any
	}{
		"signers":                   {signer, "registration", "record"},
		"signers, imported adapter": {signer + imported, "discovery", "record"},
		"signers, protocol 2":       {signer + imported + security + "provider = choria\n", "discovery", nil},
		"issuers":                   {signer + issuer + imported, "discovery", nil},
		"certificates":              {imported, "discovery", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tables, _ := translated(t, test.conf)
			adapters, _ := tables["adapter"].(map[string]any)
			table, _ := adapters[test.adapter].(map[string]any)
			if have := table["verify"]; have != test.want {
				t.Errorf("verify of adapter %s is %v, want %v", test.adapter, have, test.want)
			}
		})
	}
}
