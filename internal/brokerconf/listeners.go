package brokerconf

import (
	"net"
	"strconv"

	"github.com/muster-appliance/muster/internal/translate"
)

// firstUnprivileged is the lowest port that a service may listen on without a capability.
const firstUnprivileged = 1024

// listenOn returns where the appliance listens for the port of a key.
func (t *translation) listenOn(key string, port int) string {
	if port < firstUnprivileged {
		t.caution(key, "the service of the packages may not listen on a port below 1024; "+
			"docs/operate.md says how to allow it (Ports)")
	}
	return translate.Quote(net.JoinHostPort(t.address, strconv.Itoa(port)))
}

// websocket translates the listener for WebSocket.
func (t *translation) websocket() {
	const key = network + "websocket_port"
	if port := t.number(key, 0); port > 0 {
		t.out.Set("broker.websocket", "listen", t.listenOn(key, port), "without compression, unlike in Choria")
	}
}

// mappings translates the mappings of subjects. Those that an appliance refuses are left out after the check.
func (t *translation) mappings() {
	const names = network + "mapping.names"
	destinations := map[string]string{}
	var sources []string
	for _, name := range list(t.get(names)) {
		prefix := network + "mapping." + name + "."
		source, destination := t.get(prefix+"source"), t.get(prefix+"destination")
		if source == "" || destination == "" {
			t.addRemark(translate.Remark{Key: names, Value: name,
				Reason: "without effect in Choria: a mapping needs a source and a destination"})
			continue
		}
		if earlier, has := destinations[source]; has {
			t.remarkOn(prefix+"source", "replaces the mapping to "+earlier+", which has the same source")
		} else {
			sources = append(sources, source)
		}
		destinations[source] = destination
	}
	for _, source := range sources {
		t.out.Set("broker.mappings", translate.QuoteKey(source), translate.Quote(destinations[source]), "")
	}
}

// provisioning translates the account of nodes in provisioning and of Choria's provisioner.
func (t *translation) provisioning() {
	const prefix, table = network + "provisioning.", "broker.provisioning"
	password := t.get(prefix + "client_password")
	if password == "" {
		return
	}
	t.out.Set(table, "client_password", translate.Quote(password), `better: "file:PATH"`)
	if signer := t.get(prefix + "signer_cert"); signer != "" {
		t.out.Set(table, "signer_cert", translate.QuoteAll([]string{signer}), "")
	}
	const withoutToken = prefix + "provisioner_without_token"
	switch {
	case !t.enabled(withoutToken):
	case t.out.Has("broker.issuers"):
		t.out.Set(table, "provisioner_without_token", "true", "")
	default:
		t.remarkOn(withoutToken,
			"without effect in Choria: without issuers, the provisioner needs a certificate and no token")
	}
}
