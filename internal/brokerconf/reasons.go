package brokerconf

import "strings"

// Reasons that several keys share.
const (
	reasonNoSRV      = "not needed: an appliance looks up no other servers"
	reasonFederation = "not supported: Muster has no federations"
	reasonStop       = "not needed: an appliance stops within 30 seconds and loses no message that it has read"
	reasonTimeouts   = "not supported: an appliance uses the default time-outs of NATS"
	reasonAnonymous  = "not needed: an appliance has its own certificate; nodes and clients with tokens need none"
)

// reasons explain why keys that begin with a prefix are not in appliance.toml. The first match is used.
var reasons = []struct{ prefix, reason string }{
	{"logfile", "not supported: an appliance logs to standard error, which systemd keeps in the journal"},
	{"libdir", "not needed: an appliance loads no plugins"},
	{"plugin.choria.use_srv", reasonNoSRV},
	{"plugin.choria.srv_domain", reasonNoSRV},
	{"plugin.choria.middleware_hosts",
		"not needed: adapters read the messages that reach this appliance; let the nodes connect to it"},
	{"plugin.choria.federation", reasonFederation},
	{"plugin.choria.broker_federation", reasonFederation},
	{"plugin.choria.security.privileged_users",
		"not supported: a caller cannot sign for other callers; every message is verified against its own sender"},
	{"plugin.choria.security.", "not needed: this key is for Choria's servers and clients"},
	{"plugin.choria.adapter.",
		"without effect in Choria: plugin.choria.adapters does not list the adapter, or adapters have no such key"},
	{"plugin.choria.legacy_lifecycle_format",
		"not needed: an appliance publishes no lifecycle events about itself; it reads both formats"},
	{"plugin.choria.ssldir", "without effect in Choria: the security provider is not puppet"},
	{"plugin.choria.network.public_url", "not supported: an appliance advertises no other address to nodes"},
	{"plugin.choria.network.websocket_advertise",
		"not supported: an appliance advertises no other address for WebSocket; " +
			"name it in the plugin.choria.middleware_hosts of the nodes"},
	{"plugin.choria.network.peer",
		"not supported: an appliance is not part of a cluster; use a second appliance for a second site"},
	{"plugin.choria.network.gateway_",
		"not supported: an appliance has no gateways; use a second appliance for a second site"},
	{"plugin.choria.network.leafnode_remote.",
		"without effect in Choria: plugin.choria.network.leafnode_remotes does not list the remote, " +
			"or remotes have no such key"},
	{"plugin.choria.network.provisioning.", "without effect in Choria: provisioning.client_password is not set"},
	{"plugin.choria.network.mapping.",
		"without effect in Choria: plugin.choria.network.mapping.names does not list the mapping, " +
			"or mappings have no such key"},
	{"plugin.choria.network.pprof_port", "not supported: an appliance has no profiling port"},
	{"plugin.choria.network.client_tls_force_required",
		"not needed: beyond loopback an appliance always requires TLS, unless broker.plaintext allows connections without"},
	{"plugin.choria.network.soft_shutdown_timeout", reasonStop},
	{"soft_shutdown_timeout", reasonStop},
	{"plugin.choria.network.tls_timeout", reasonTimeouts},
	{"plugin.choria.network.auth_timeout", reasonTimeouts},
	{"plugin.choria.network.connect_timeout", "not needed: the broker of an appliance connects to no other broker"},
	{"plugin.choria.network.write_deadline", reasonTimeouts},
	{"plugin.nats.",
		"not imported: if an adapter publishes to other servers, set user, password or credentials " +
			"in its table [adapter.NAME.stream]"},
	{"plugin.security.support_legacy_certificates",
		"not supported: the names of a certificate must be in its subject alternative names"},
	{"plugin.security.cipher_suites", "not supported: an appliance uses Go's choice of cipher suites"},
	{"plugin.security.ecc_curves", "not supported: an appliance uses Go's choice of curves"},
	{"plugin.security.server_anon_tls", reasonAnonymous},
	{"plugin.security.client_anon_tls", reasonAnonymous},
	{"plugin.security.issuer.", "without effect in Choria: plugin.security.issuer.names does not list the issuer"},
	{"plugin.security.", "not needed: this key is for a security provider that is not in use, or for nodes and clients"},
}

// reasonFor returns the reason why a key is not in appliance.toml.
func reasonFor(key string) string {
	for _, r := range reasons {
		if strings.HasPrefix(key, r.prefix) {
			return r.reason
		}
	}
	return "not imported: a broker is not known to use this key"
}
