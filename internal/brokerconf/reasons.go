package brokerconf

import "strings"

// reasons are why keys, or all that begin so, are not in an appliance.toml.
var reasons = []struct{ prefix, reason string }{
	{"main_collective", "a broker is in no collective"},
	{"logfile", "an appliance logs to standard error, which systemd keeps in the journal"},
	{"libdir", "nothing is loaded from there"},
	{"plugin.choria.use_srv", "an appliance looks for nobody"},
	{"plugin.choria.srv_domain", "an appliance looks for nobody"},
	{"plugin.choria.middleware_hosts", "adapters take what reaches this appliance: let the nodes connect to it"},
	{"plugin.choria.federation", "there is no federation"},
	{"plugin.choria.broker_federation", "there is no federation"},
	{"plugin.choria.security.privileged_users", "nobody speaks for others: each message is held against who signed it"},
	{"plugin.choria.security.", "is for Choria's own servers and clients"},
	{"plugin.choria.adapter.", "is not among plugin.choria.adapters, so Choria does not run it, or it is a key that the adapter does not have"},
	{"plugin.choria.legacy_lifecycle_format", "an appliance tells of itself in other ways; it reads both formats"},
	{"plugin.choria.ssldir", "the provider is not puppet"},
	{"plugin.choria.network.public_url", "nodes are told of no other address"},
	{"plugin.choria.network.websocket_", "there are no WebSockets"},
	{"plugin.choria.network.peer", "an appliance is no cluster; a second site is a second appliance"},
	{"plugin.choria.network.gateway_", "an appliance has no gateways; a second site is a second appliance"},
	{"plugin.choria.network.leafnode_", "an appliance takes no leafnodes, and is none"},
	{"plugin.choria.network.provisioning.", "nobody is let in unproved: nodes are provisioned elsewhere, or enrolled with muster enroll"},
	{"plugin.choria.network.mapping", "subjects are as they are; a stream's subject_transform stores them under others"},
	{"plugin.choria.network.pprof_port", "there is no profiling port"},
	{"plugin.choria.network.client_tls_force_required", "beyond loopback there is always TLS, unless broker.plaintext says otherwise"},
	{"plugin.choria.network.soft_shutdown_timeout", "an appliance stops within half a minute, and loses nothing that it has read"},
	{"soft_shutdown_timeout", "an appliance stops within half a minute, and loses nothing that it has read"},
	{"plugin.choria.network.tls_timeout", "NATS's own time-outs hold"},
	{"plugin.choria.network.auth_timeout", "NATS's own time-outs hold"},
	{"plugin.choria.network.connect_timeout", "an appliance connects to nobody"},
	{"plugin.choria.network.write_deadline", "NATS's own time-outs hold"},
	{"plugin.nats.", "an adapter that publishes elsewhere has user, password and credentials of its own, in [adapter.NAME.stream]"},
	{"plugin.security.support_legacy_certificates", "names stand in the certificate's subject alternative names"},
	{"plugin.security.cipher_suites", "Go's choice of cipher suites holds"},
	{"plugin.security.ecc_curves", "Go's choice of curves holds"},
	{"plugin.security.server_anon_tls", "an appliance has a certificate of its own; nodes with tokens need none"},
	{"plugin.security.client_anon_tls", "an appliance has a certificate of its own; clients with tokens need none"},
	{"plugin.security.issuer.", "is not among plugin.security.issuer.names"},
	{"plugin.security.", "is of a provider that is not in use, or of who connects"},
}

func reasonFor(key string) string {
	for _, r := range reasons {
		if strings.HasPrefix(key, r.prefix) {
			return r.reason
		}
	}
	return "means nothing to a broker, as far as is known here"
}
