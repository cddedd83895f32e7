package brokerconf

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	network  = "plugin.choria.network."
	security = "plugin.security."
)

// translation is one on its way.
type translation struct {
	*File
	host string // the machine's name, as Choria would find it
	out  output
	used map[string]bool

	port      int    // of the nodes
	registrar string // the adapter that takes registrations
}

// Translate gives the appliance.toml that does the same, and what is not in it. The host is
// the machine's name, which Choria takes where no identity is given.
func (f *File) Translate(host string) (text string, remarks []Remark) {
	t := &translation{File: f, host: host, used: map[string]bool{}}
	for _, part := range []func(){t.general, t.listen, t.tokens, t.roles, t.system, t.streams, t.adapters, t.stats, t.rest} {
		part()
	}
	slices.SortStableFunc(t.remarks, func(a, b Remark) int {
		switch {
		case a.Danger == b.Danger:
			return strings.Compare(a.Key, b.Key)
		case a.Danger:
			return -1
		}
		return 1
	})
	head := fmt.Sprintf("# What %s says, for an appliance; made by \"muster import\".\n# What is not here has its default; the appliance.toml that comes with Muster shows every key.\n", plain(f.Path))
	return t.out.text(head, t.remarks), t.remarks
}

// get is the value of a key, or empty.
func (t *translation) get(key string) string {
	t.used[key] = true
	return t.entries[key].value
}

// note is a remark on a key that is there.
func (t *translation) note(key, reason string) { t.remark(t.entries[key].remark(reason)) }

func (t *translation) warn(key, reason string) {
	r := t.entries[key].remark(reason)
	r.Danger = true
	t.remark(r)
}

// number is an integer; what is none is to Choria as if it were not there.
func (t *translation) number(key string, otherwise int) int {
	value := t.get(key)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		reason := fmt.Sprintf("no integer: Choria goes on with %d", otherwise)
		if strings.HasPrefix(key, adapterKeys) {
			reason = "no integer: Choria does not start with it"
		}
		t.warn(key, reason)
		return otherwise
	}
	return n
}

// is tells whether Choria takes a key for true.
func (t *translation) is(key string) bool {
	t.used[key] = true
	return t.boolean(key)
}

// boolean is is, of a key that has no place here.
func (t *translation) boolean(key string) bool {
	value := t.entries[key].value
	if value != "" && !isTrue(value) && !isFalse(value) {
		t.warn(key, "Choria takes this for false; only 1, yes, true, y and t are true to it")
	}
	return isTrue(value)
}

func (t *translation) general() {
	if identity := t.get("identity"); identity != "" {
		t.out.set("", "identity", quote(identity), "")
	}
	levels := map[string]string{"debug": "debug", "info": "info", "warn": "warn", "error": "error", "fatal": "error"}
	if level := t.get("loglevel"); level != "" {
		word, known := levels[strings.ToLower(level)]
		if strings.EqualFold(level, "fatal") {
			t.note("loglevel", "error is the least that there is")
		}
		if !known {
			t.note("loglevel", "no level that Choria knows; info it is")
		} else if word != "info" {
			t.out.set("log", "level", quote(word), "")
		}
	}
	collectives := list(t.get("collectives"))
	if len(collectives) == 0 && t.provider() == "choria" {
		collectives = []string{"choria"}
	}
	if len(collectives) > 0 && !slices.Equal(collectives, []string{"mcollective"}) {
		t.out.set("broker", "collectives", quoteAll(collectives), "")
	}
	if network := "plugin.choria.broker_network"; !t.is(network) && t.get(network) != "" {
		t.note("plugin.choria.broker_network", "this Choria runs no network broker; an appliance always does")
	}
}

func (t *translation) identity() string { return cmp.Or(t.entries["identity"].value, t.host) }

func (t *translation) provider() string {
	return strings.ToLower(cmp.Or(t.get(security+"provider"), "puppet"))
}

// certificate is where the broker's certificate, its key and the CA lie; empty: nowhere.
func (t *translation) certificate() (cert, key, ca string) {
	switch provider := t.provider(); provider {
	case "file", "choria":
		at := security + provider + "."
		return t.get(at + "certificate"), t.get(at + "key"), t.get(at + "ca")
	case "puppet":
		dir := cmp.Or(t.get("plugin.choria.ssldir"), "/etc/puppetlabs/puppet/ssl")
		name := t.identity() + ".pem"
		return path.Join(dir, "certs", name), path.Join(dir, "private_keys", name), path.Join(dir, "certs/ca.pem")
	default:
		t.note(security+"provider", "its certificates are in no files: give files in [broker.tls]")
		return "", "", ""
	}
}

func (t *translation) listen() {
	host := strings.Trim(cmp.Or(t.get(network+"listen_address"), "::"), "[]")
	if host == "*" {
		t.warn(network+"listen_address", "no address; it listens on all")
		host = "::"
	}
	t.port = t.number(network+"client_port", 4222)
	port := strconv.Itoa(t.port)
	cert, key, ca := t.certificate()
	if cert == "" || key == "" {
		host = "127.0.0.1"
		t.remark(Remark{Key: "broker.tls", Danger: true, Reason: "no certificate is named, so the appliance listens on loopback until [broker.tls] has one"})
	} else {
		for name, file := range map[string]string{"cert": cert, "key": key, "ca": ca} {
			if strings.HasPrefix(file, "~") || file != "" && !path.IsAbs(file) {
				t.remark(Remark{Key: "broker.tls." + name, Value: file, Reason: "write the whole path: Choria takes it from its working directory or home"})
			}
		}
		t.out.set("broker.tls", "cert", quote(cert), "")
		t.out.set("broker.tls", "key", quote(key), "")
		if ca != "" {
			t.out.set("broker.tls", "ca", quote(ca), "")
		}
	}
	t.out.set("broker", "listen", quote(net.JoinHostPort(host, port)), "")
	if t.is(network + "deny_server_connections") {
		t.out.set("broker", "deny_servers", "true", "")
	}
	t.clientHosts()
}

func (t *translation) clientHosts() {
	const key = network + "client_hosts"
	var hosts []string
	for _, host := range list(t.get(key)) {
		_, err := netip.ParsePrefix(host)
		if _, other := netip.ParseAddr(host); err != nil && other != nil {
			t.note(key, host+" is no address and no network")
			continue
		}
		hosts = append(hosts, host)
	}
	if t.entries[key].value != "" {
		t.warn(key, "in Choria it takes from every holder of a certificate what clients may do, wherever they come from; here it says from where clients may connect. Is that what is meant?")
	}
	if len(hosts) > 0 {
		t.out.set("broker", "client_hosts", quoteAll(hosts), "")
	}
}

// publicKey is an ed25519 public key in hex.
var publicKey = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func (t *translation) tokens() {
	for _, name := range list(t.get(security + "issuer.names")) {
		key := security + "issuer." + name + ".public"
		public := t.get(key)
		switch {
		case public == "":
			t.remark(Remark{Key: key, Reason: "it is among the names, but has no key"})
		case !publicKey.MatchString(public):
			t.note(key, "no ed25519 public key in hex")
		default:
			t.out.set("broker.issuers", quoteKey(name), quote(public), "")
		}
	}
	if t.get(security+"choria.trusted_signers") != "" {
		t.note(security+"choria.trusted_signers", "Choria lets nobody in by them; if they sign tokens of nodes or clients, name them in [broker.signers]")
	}
	for kind, key := range map[string]string{"server": network + "server_signer_cert", "client": network + "client_signer_cert"} {
		if signers := list(t.get(key)); len(signers) > 0 {
			t.out.set("broker.signers", kind, quoteAll(signers), "")
		}
	}
	slices.Sort(t.out.tables["broker.signers"])
}

// quoteKey is a key in TOML.
func quoteKey(name string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(name) {
		return name
	}
	return quote(name)
}

func (t *translation) roles() {
	const key = "plugin.choria.security.certname_whitelist"
	var patterns []string
	for _, expression := range list(t.get(key)) {
		p, err := pattern(expression)
		if err != nil {
			t.note(key, expression+" is "+err.Error()+", in broker.roles.client")
			continue
		}
		patterns = append(patterns, p)
	}
	if len(patterns) > 0 {
		t.out.set("broker.roles", "client", quoteAll(patterns), "who else has a certificate is a node, with what nodes need")
	}
}

func (t *translation) system() {
	user, password := t.get(network+"system.user"), t.get(network+"system.password")
	switch {
	case user == "" && password == "":
	case user == "" || password == "":
		t.remark(Remark{Key: network + "system", Reason: "the user needs a password, and the password a user; there is access to the system account with both"})
	case t.out.tables["broker.tls"] == nil:
		t.note(network+"system.user", "the system account is there over TLS alone")
	default:
		t.out.set("broker.system", "user", quote(user), "")
		t.out.set("broker.system", "password", quote(password), `better "file:PATH"`)
	}
}

// booleans are keys that are true or false and have no place here.
var booleans = []string{
	"plugin.choria.broker_federation", "plugin.choria.use_srv", "plugin.choria.legacy_lifecycle_format", "plugin.security.server_anon_tls", "plugin.security.client_anon_tls",
	"plugin.security.support_legacy_certificates", "plugin.security.choria.sign_replies", network + "client_tls_force_required", network + "provisioning.provisioner_without_token",
}

// rest are the keys that nothing has asked for, and what is wrong with any.
func (t *translation) rest() {
	for _, key := range slices.Sorted(maps.Keys(t.entries)) {
		if value := t.entries[key].value; strings.Contains(value, " #") || strings.Contains(value, "\t#") {
			t.warn(key, "Choria has no comments behind a value: all of this is the value")
		}
		if value := t.entries[key].value; len(value) > 1 && strings.Trim(value, `"'`) == value[1:len(value)-1] {
			t.warn(key, "Choria has no quotes: they are a part of the value")
		}
		if slices.Contains(booleans, key) {
			t.boolean(key)
		}
		if t.used[key] {
			continue
		}
		t.note(key, reasonFor(key))
	}
}
