package brokerconf

import (
	"net/netip"
	"regexp"
	"slices"
)

// clientHosts translates the addresses of clients.
func (t *translation) clientHosts() {
	const key = network + "client_hosts"
	var hosts []string
	for _, host := range list(t.get(key)) {
		_, err := netip.ParsePrefix(host)
		if _, other := netip.ParseAddr(host); err != nil && other != nil {
			t.remarkOn(key, host+" is left out: it is neither an address nor a network")
			continue
		}
		hosts = append(hosts, host)
	}
	if t.entries[key].value != "" {
		t.caution(key, "in Choria this key removes client permissions from every certificate, whatever its address; "+
			"in Muster it lists the addresses from which clients may connect; check that you want this")
	}
	if len(hosts) > 0 {
		t.out.set("broker", "client_hosts", quoteAll(hosts), "")
	}
}

// publicKey matches an ed25519 public key in hex.
var publicKey = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// tokens translates the issuers and signers of tokens.
func (t *translation) tokens() {
	for _, name := range list(t.get(security + "issuer.names")) {
		key := security + "issuer." + name + ".public"
		public := t.get(key)
		switch {
		case public == "":
			t.addRemark(Remark{Key: key, Reason: "not set, although plugin.security.issuer.names lists the issuer"})
		case !publicKey.MatchString(public):
			t.remarkOn(key, "not imported: it is not an ed25519 public key in hex")
		default:
			t.out.set("broker.issuers", quoteKey(name), quote(public), "")
		}
	}
	if t.get(security+"choria.trusted_signers") != "" {
		t.remarkOn(security+"choria.trusted_signers",
			"not imported: Choria's broker does not use these keys to admit connections; "+
				"if they sign the tokens of nodes or clients, list them in [broker.signers]")
	}
	for kind, key := range map[string]string{
		"server": network + "server_signer_cert", "client": network + "client_signer_cert",
	} {
		if signers := list(t.get(key)); len(signers) > 0 {
			t.out.set("broker.signers", kind, quoteAll(signers), "")
		}
	}
	slices.Sort(t.out.tables["broker.signers"])
}

// roles translates the names of client certificates.
func (t *translation) roles() {
	const key = "plugin.choria.security.certname_whitelist"
	var patterns []string
	for _, expression := range list(t.get(key)) {
		p, err := pattern(expression)
		if err != nil {
			t.remarkOn(key, expression+" "+err.Error()+"; add patterns for it to broker.roles.client")
			continue
		}
		patterns = append(patterns, p)
	}
	if len(patterns) > 0 {
		t.out.set("broker.roles", "client", quoteAll(patterns), "all other certificates are those of nodes")
	}
}

// system translates the user of the system account.
func (t *translation) system() {
	user, password := t.get(network+"system.user"), t.get(network+"system.password")
	switch {
	case user == "" && password == "":
	case user == "" || password == "":
		t.addRemark(Remark{Key: network + "system",
			Reason: "not imported: access to the system account needs both a user and a password, and one is missing"})
	case t.out.tables["broker.tls"] == nil:
		t.remarkOn(network+"system.user", "not imported: the system account requires [broker.tls]")
	default:
		t.out.set("broker.system", "user", quote(user), "")
		t.out.set("broker.system", "password", quote(password), `better: "file:PATH"`)
	}
}
