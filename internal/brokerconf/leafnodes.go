package brokerconf

import (
	"net/url"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/translate"
)

// What an appliance does not do over links, unlike Choria.
const (
	lostOverLinks = "only requests and replies cross the link: for registrations and events, " +
		"let the appliance at the site forward them (docs/edge.md)"
	// whatCrosses explains the words for what crosses a link.
	whatCrosses = "nodes: those there receive requests from here; clients: those there send requests here; both"
	lostLink    = "the link is disabled, so clients at each side do not reach the nodes at the other: "
)

// leafnodes translates the links to brokers of other sites.
func (t *translation) leafnodes() {
	const port, names = network + "leafnode_port", network + "leafnode_remotes"
	if n := t.number(port, 0); n > 0 {
		t.out.Set("broker.leafnodes", "listen", t.listenOn(port, n), "name the leaf nodes below")
		t.out.Line("broker.leafnodes.peers", `# "broker.site.example.net" = "both"  # the name in its certificate; `+
			whatCrosses)
		t.loss(port, "Choria admits every leaf node with a certificate; here they are refused until "+
			"[broker.leafnodes.peers] names them. And "+lostOverLinks)
	}
	linked := false
	for _, name := range list(t.get(names)) {
		linked = t.leafRemote(name) || linked
	}
	if linked {
		t.loss(names, lostOverLinks)
	}
}

// leafRemote translates a broker to which this one connects as a leaf node. It reports whether there is a link.
func (t *translation) leafRemote(name string) (linked bool) {
	prefix, table := network+"leafnode_remote."+name+".", "broker.leafnodes.remote."+name
	urls := list(t.get(prefix + "url"))
	switch {
	case len(urls) == 0:
		t.addRemark(translate.Remark{Key: network + "leafnode_remotes", Value: name,
			Reason: "without effect in Choria: " + prefix + "url is not set"})
		return false
	case !contract.ValidName(name):
		t.loss(prefix+"url", lostLink+"its name is not valid here; use A-Z, a-z, 0-9, _ and -")
		return false
	}
	linked = t.checkRemote(prefix)
	if !linked {
		t.out.Set(table, "enabled", "false", "")
	}
	for i, text := range urls {
		urls[i] = t.leafURL(prefix+"url", text)
	}
	t.out.Set(table, "urls", translate.QuoteAll(urls), "")
	t.out.Set(table, "allow", `"both"`, whatCrosses)
	for _, file := range []string{"cert", "key", "ca"} {
		if path := t.get(prefix + "tls." + file); path != "" {
			t.out.Set(table+".tls", file, translate.Quote(path), "")
		}
	}
	return linked
}

// checkRemote remarks on what an appliance does not do for a remote, and reports whether a link is still possible.
func (t *translation) checkRemote(prefix string) (possible bool) {
	possible = true
	lose := func(key, reason string) {
		t.loss(prefix+key, lostLink+reason)
		possible = false
	}
	if account := t.get(prefix + "account"); account != "" && account != "choria" {
		lose("account", "only the account choria has links in an appliance")
	}
	if t.get(prefix+"credentials") != "" {
		lose("credentials", "an appliance does not present credentials files of NATS to other brokers; "+
			"let the broker accept its certificate, or set token and seed, and remove enabled = false")
	}
	off := []string{"false", "no", "off", "0"} // the words that Choria compares with here
	if disable := t.get(prefix + "tls.disable"); disable != "" && !slices.Contains(off, disable) {
		lose("tls.disable", "an appliance links only over TLS; let the other broker use TLS, and remove enabled = false")
	}
	if slices.Contains(off, t.get(prefix+"tls.verify")) {
		t.caution(prefix+"tls.verify", "an appliance always verifies the certificate of the other broker; "+
			"set ca in [broker.leafnodes.remote.NAME.tls] to the CA that has signed it")
	}
	return possible
}

// leafURL returns the URL of a remote as an appliance reads it.
func (t *translation) leafURL(key, text string) string {
	if !strings.Contains(text, "://") {
		text = "leafnode://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return text // the check of the file reports it
	}
	if u.User != nil {
		u.User = nil
		t.caution(key, "user and password are left out: an appliance presents its certificate, or token and seed")
	}
	switch u.Scheme {
	case "leafnode", "nats", "nats-leaf":
		u.Scheme = "tls"
	case "ws":
		u.Scheme = "wss"
	}
	return u.String()
}
