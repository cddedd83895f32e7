package brokerconf

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/internal/translate"
)

const (
	network  = "plugin.choria.network."
	security = "plugin.security."
)

// translation is the state of one Translate.
type translation struct {
	*File
	host string // the host's name, Choria's default identity
	out  translate.Output
	used map[string]bool // keys that were translated or remarked on

	address             string // on which the appliance listens
	port                int    // on which nodes connect
	unsigned            bool   // nodes do not sign their messages
	registrationAdapter string // name of the adapter that takes registrations; empty until one is found
}

// Translate returns the text of an appliance.toml that does what the broker's configuration does,
// and remarks, those of the highest class first. host is the host's name, which Choria uses as identity if
// none is set.
func (f *File) Translate(host string) (text string, remarks []translate.Remark) {
	t := &translation{File: f, host: host, used: map[string]bool{}}
	for _, part := range []func(){
		t.losses, t.general, t.listen, t.tokens, t.roles, t.system, t.mappings, t.provisioning, t.websocket, t.leafnodes,
		t.streams, t.adapters, t.stats, t.unused,
	} {
		part()
	}
	slices.SortStableFunc(t.remarks, func(a, b translate.Remark) int {
		return cmp.Or(cmp.Compare(b.Class, a.Class), strings.Compare(a.Key, b.Key))
	})
	head := fmt.Sprintf("# Made by \"muster import\" from %s\n"+
		"# Keys that are not set have their defaults; the appliance.toml that Muster ships lists every key.\n",
		translate.Printable(f.Path))
	return t.out.Text(head, "Choria", t.remarks), t.remarks
}

// get returns the value of a key, or "" if it is not set, and marks the key as used.
func (t *translation) get(key string) string {
	t.used[key] = true
	return t.entries[key].value
}

// remarkOn adds a remark on a key that is set.
func (t *translation) remarkOn(key, reason string) { t.addRemark(t.entries[key].remark(reason)) }

// caution adds a remark of the class Caution on a key that is set.
func (t *translation) caution(key, reason string) {
	r := t.entries[key].remark(reason)
	r.Class = translate.Caution
	t.addRemark(r)
}

// loss adds a remark of the class Loss on a key that is set, and marks the key as used.
func (t *translation) loss(key, reason string) {
	t.used[key] = true
	r := t.entries[key].remark(reason)
	r.Class = translate.Loss
	t.addRemark(r)
}

// number returns an integer, or the fallback if the key is not set. Choria treats a value that is
// not an integer like one that is not set.
func (t *translation) number(key string, fallback int) int {
	value := t.get(key)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		reason := fmt.Sprintf("not an integer; Choria uses %d instead", fallback)
		if strings.HasPrefix(key, adapterKeys) {
			reason = "not an integer; Choria does not start with this value"
		}
		t.caution(key, reason)
		return fallback
	}
	return n
}

// enabled reports whether Choria reads a key as true, and marks the key as used.
func (t *translation) enabled(key string) bool {
	t.used[key] = true
	return t.checkBool(key)
}

// checkBool reports whether Choria reads a key as true, and warns if the value is neither true nor
// false.
func (t *translation) checkBool(key string) bool {
	value := t.entries[key].value
	if value != "" && !isTrue(value) && !isFalse(value) {
		t.caution(key, "Choria reads this value as false; only 1, yes, true, y and t mean true")
	}
	return isTrue(value)
}

// general translates the identity, the log level and the main collective.
func (t *translation) general() {
	if identity := t.get("identity"); identity != "" {
		t.out.Set("", "identity", translate.Quote(identity), "")
	}
	levels := map[string]string{"debug": "debug", "info": "info", "warn": "warn", "error": "error", "fatal": "error"}
	if level := t.get("loglevel"); level != "" {
		word, known := levels[strings.ToLower(level)]
		if strings.EqualFold(level, "fatal") {
			t.remarkOn("loglevel", "changed to error, the highest level of an appliance")
		}
		if !known {
			t.remarkOn("loglevel", "not a level that Choria knows; the appliance uses info")
		} else if word != "info" {
			t.out.Set("log", "level", translate.Quote(word), "")
		}
	}
	if main := t.mainCollective(); main != "mcollective" {
		t.out.Set("broker", "main_collective", translate.Quote(main), "")
	}
	if key := "plugin.choria.broker_network"; !t.enabled(key) && t.get(key) != "" {
		t.remarkOn(key, "not imported: this Choria runs no network broker, but an appliance always does")
	}
}

// mainCollective returns in whose inboxes nodes and clients receive replies. Choria's broker does not need the
// collectives: those of nodes are in the files of the nodes, so an appliance allows any.
func (t *translation) mainCollective() string {
	main, collectives := t.get("main_collective"), list(t.get("collectives"))
	switch {
	case main != "":
		return main
	case len(collectives) > 0:
		return collectives[0]
	case t.provider() == "choria":
		return "choria"
	default:
		return "mcollective"
	}
}

func (t *translation) identity() string { return cmp.Or(t.entries["identity"].value, t.host) }

func (t *translation) provider() string {
	return strings.ToLower(cmp.Or(t.get(security+"provider"), "puppet"))
}

// certificate returns the paths of the broker's certificate, its key and the CA. They are empty if
// not set, or if the security provider keeps them elsewhere.
func (t *translation) certificate() (cert, key, ca string) {
	switch provider := t.provider(); provider {
	case "file", "choria":
		prefix := security + provider + "."
		return t.get(prefix + "certificate"), t.get(prefix + "key"), t.get(prefix + "ca")
	case "puppet":
		dir := cmp.Or(t.get("plugin.choria.ssldir"), "/etc/puppetlabs/puppet/ssl")
		name := t.identity() + ".pem"
		return path.Join(dir, "certs", name), path.Join(dir, "private_keys", name), path.Join(dir, "certs/ca.pem")
	default:
		t.remarkOn(security+"provider", "the certificates of this provider are not in files; set files in [broker.tls]")
		return "", "", ""
	}
}

// revocationList uses Puppet's certificate revocation list, if there is one. Choria does not read it.
func (t *translation) revocationList() {
	if t.provider() != "puppet" {
		return
	}
	crl := path.Join(cmp.Or(t.get("plugin.choria.ssldir"), "/etc/puppetlabs/puppet/ssl"), "crl.pem")
	if _, err := os.Stat(crl); err != nil {
		return
	}
	t.out.Set("broker.tls", "crl", translate.Quote(crl), "")
	t.addRemark(translate.Remark{Key: "broker.tls.crl", Value: crl,
		Reason: "Puppet's list of revoked certificates, which Choria does not read; an appliance refuses what is in it"})
}

// listen translates the listener for nodes, with TLS.
func (t *translation) listen() {
	host := strings.Trim(cmp.Or(t.get(network+"listen_address"), "::"), "[]")
	if host == "*" {
		t.caution(network+"listen_address", "not an address; the appliance listens on all addresses")
		host = "::"
	}
	t.port = t.number(network+"client_port", 4222)
	cert, key, ca := t.certificate()
	if cert == "" || key == "" {
		host = "127.0.0.1"
		t.addRemark(translate.Remark{Key: "broker.tls", Class: translate.Caution,
			Reason: "no certificate is set, so the appliance listens on loopback only; set files in [broker.tls]"})
	} else {
		for name, file := range map[string]string{"cert": cert, "key": key, "ca": ca} {
			if strings.HasPrefix(file, "~") || file != "" && !path.IsAbs(file) {
				t.addRemark(translate.Remark{Key: "broker.tls." + name, Value: file, Reason: "not an absolute path; " +
					"set the absolute one: Choria starts from its working directory or the home directory"})
			}
		}
		t.out.Set("broker.tls", "cert", translate.Quote(cert), "")
		t.out.Set("broker.tls", "key", translate.Quote(key), "")
		if ca != "" {
			t.out.Set("broker.tls", "ca", translate.Quote(ca), "")
		}
		t.revocationList()
	}
	t.address = host
	t.out.Set("broker", "listen", t.listenOn(network+"client_port", t.port), "")
	if t.enabled(network + "deny_server_connections") {
		t.out.Set("broker", "deny_servers", "true", "")
	}
	t.clientHosts()
}

// booleans are the boolean keys that are not translated.
var booleans = []string{
	"plugin.choria.broker_federation", "plugin.choria.use_srv", "plugin.choria.legacy_lifecycle_format",
	"plugin.security.server_anon_tls", "plugin.security.client_anon_tls",
	"plugin.security.support_legacy_certificates", "plugin.security.choria.sign_replies",
	network + "client_tls_force_required",
}

// unused remarks on the keys that were not translated, and warns of values in a form that Choria
// does not support.
func (t *translation) unused() {
	for _, key := range slices.Sorted(maps.Keys(t.entries)) {
		if value := t.entries[key].value; strings.Contains(value, " #") || strings.Contains(value, "\t#") {
			t.caution(key, "Choria does not support comments after a value; all of this is the value")
		}
		if value := t.entries[key].value; len(value) > 1 && strings.Trim(value, `"'`) == value[1:len(value)-1] {
			t.caution(key, "Choria does not support quotes; they are part of the value")
		}
		if slices.Contains(booleans, key) {
			t.checkBool(key)
		}
		if t.used[key] {
			continue
		}
		t.remarkOn(key, reasonFor(key))
	}
}
