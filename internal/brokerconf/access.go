package brokerconf

import (
	"net/netip"
	"regexp"
	"slices"

	"github.com/muster-appliance/muster/internal/translate"
)

// loopback are the client_hosts of a broker whose list has host names only. An empty list would
// admit clients from every address.
var loopback = []string{"127.0.0.0/8", "::1"}

// clientHosts translates the addresses of clients. Choria ignores host names in the list; here they
// are left out, too.
func (t *translation) clientHosts() {
	const key = network + "client_hosts"
	given := list(t.get(key))
	if len(given) == 0 {
		return
	}
	hosts := slices.DeleteFunc(slices.Clone(given), isHostName)
	t.caution(key, "in Choria this key removes client permissions from every certificate, whatever its address; "+
		"in Muster it lists the addresses from which clients may connect; check that you want this")
	for _, name := range slices.DeleteFunc(given, func(host string) bool { return !isHostName(host) }) {
		t.caution(key, name+" is left out, so clients there are refused: it is neither an address nor a network; "+
			"add the address to broker.client_hosts")
	}
	comment := ""
	if len(hosts) == 0 {
		hosts, comment = loopback, "no address in Choria's list; add those of the clients"
	}
	t.out.Set("broker", "client_hosts", translate.QuoteAll(hosts), comment)
}

// isHostName reports whether an entry of client_hosts is neither an address nor a network.
func isHostName(host string) bool {
	_, notAddress := netip.ParseAddr(host)
	_, notNetwork := netip.ParsePrefix(host)
	return notAddress != nil && notNetwork != nil
}

// publicKey matches an ed25519 public key in hex.
var publicKey = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// tokens translates the issuers and signers of tokens.
func (t *translation) tokens() {
	issuers := list(t.get(security + "issuer.names"))
	for _, name := range issuers {
		key := security + "issuer." + name + ".public"
		public := t.get(key)
		switch {
		case public == "":
			t.addRemark(translate.Remark{Key: key, Reason: "not set, although plugin.security.issuer.names lists the issuer"})
		case !publicKey.MatchString(public):
			t.remarkOn(key, "not imported: it is not an ed25519 public key in hex")
		default:
			t.out.Set("broker.issuers", translate.QuoteKey(name), translate.Quote(public), "")
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
			t.out.Set("broker.signers", kind, translate.QuoteAll(signers), "")
		}
	}
	t.out.Sort("broker.signers")
	// Nodes with tokens of signers have no certificate to sign protocol 1 with.
	t.unsigned = len(issuers) == 0 && t.get(network+"server_signer_cert") != "" && t.provider() != "choria"
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
		t.out.Set("broker.roles", "client", translate.QuoteAll(patterns), "all other certificates are those of nodes")
	}
	t.compatible()
}

// compatible keeps allowed what Choria's broker does not restrict: without issuers, signers and client_hosts,
// certificates may do everything. The comments in the file say how to restrict them step by step.
func (t *translation) compatible() {
	restricted := t.out.Has("broker.issuers") || t.out.Has("broker.signers") ||
		t.entries[network+"client_hosts"].value != ""
	if !t.out.Has("broker.tls") || restricted {
		return
	}
	const table = "broker.roles"
	t.out.Set(table, "compatible", `["*"]`, "certificates may do what they do on Choria's broker")
	for _, line := range []string{
		"# To restrict them step by step, name only the certificates that are not restricted yet, give the others",
		"# what they need, and look at \"muster rejected --permissions\" after each step (docs/migrate.md):",
		`# compatible = ["db*"]`,
		`# streams = ["web*"]       # nodes that read key-value buckets`,
		`# governor = ["web*"]      # nodes and clients that enter governors`,
		`# submission = ["web*"]    # nodes and clients with reliable submission`,
		`# service_host = ["aaa*"]  # nodes with service agents`,
		`# streams_admin = ["ops.mcollective"]  # clients that make streams, buckets and governors`,
	} {
		t.out.Line(table, line)
	}
	t.addRemark(translate.Remark{Key: "broker.roles.compatible", Value: `["*"]`, Reason: "as in Choria, certificates " +
		"may do almost everything; docs/migrate.md says how to restrict them step by step"})
}

// system translates the user of the system account.
func (t *translation) system() {
	user, password := t.get(network+"system.user"), t.get(network+"system.password")
	switch {
	case user == "" && password == "":
	case user == "" || password == "":
		t.addRemark(translate.Remark{Key: network + "system",
			Reason: "not imported: access to the system account needs both a user and a password, and one is missing"})
	case !t.out.Has("broker.tls"):
		t.remarkOn(network+"system.user", "not imported: the system account requires [broker.tls]")
	default:
		t.out.Set("broker.system", "user", translate.Quote(user), "")
		t.out.Set("broker.system", "password", translate.Quote(password), `better: "file:PATH"`)
	}
}
