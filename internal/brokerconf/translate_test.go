package brokerconf

import (
	"testing"

	"github.com/BurntSushi/toml"
)

// FuzzTranslate looks for configurations that panic, or whose translation is not valid TOML.
func FuzzTranslate(f *testing.F) {
	f.Add("identity = a\nplugin.choria.adapters = x\nplugin.choria.adapter.x.type = jetstream\n" +
		"plugin.choria.adapter.x.ingest.topic = a.>\n")
	f.Add("plugin.choria.network.stream.event_retention = 1d\nplugin.security.issuer.names = \"a\\\"b\"\n")
	const n = "plugin.choria.network."
	f.Add(n + "mapping.names = m\n" + n + "mapping.m.source = a\"b.*\n" + n + "mapping.m.destination = c.$1\n" +
		n + "websocket_port = 443\n" + n + "provisioning.client_password = \"\n")
	f.Add(n + "leafnode_port = 1\n" + n + "leafnode_remotes = dc\n" + n + "leafnode_remote.dc.url = ://a, b:c@d\n" +
		n + "leafnode_remote.dc.tls.ca = ~\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := &File{Path: "broker.conf", entries: map[string]entry{}}
		file.parse("broker.conf", "", text)
		out, _ := file.Translate("host")
		if err := checkTOML(out); err != nil {
			t.Errorf("%q becomes %q: %v", text, out, err)
		}
	})
}

// checkTOML returns an error unless the text is valid TOML.
func checkTOML(text string) error {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	return err
}
