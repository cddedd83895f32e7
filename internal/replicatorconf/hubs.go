package replicatorconf

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/translate"
)

// hub is a target with its credentials.
type hub struct {
	target  string // target_url
	remark  func(class translate.Class, reason string) translate.Remark
	tls     files
	token   string // paths
	seed    string
	streams []*stream
}

// files are the paths of a certificate, its key, and a CA.
type files struct{ cert, key, ca string }

// hubOf returns the hub of the entry of a stream. Entries with the same target and credentials have the same one.
func (t *translation) hubOf(m *mapping) *hub {
	own, ownChoria := m.sub("tls"), m.sub("choria")
	target, targetChoria := m.sub("target_tls"), m.sub("target_choria")
	h := &hub{target: m.get("target_url")}
	used := firstSet(target, own, t.tls)
	h.tls = files{used.get("cert"), used.get("key"), used.get("ca")}
	credentials := firstSet(targetChoria, ownChoria, t.choria)
	h.token, h.seed = credentials.get("jwt_file"), credentials.get("seed_file")
	at := slices.IndexFunc(t.hubs, func(o *hub) bool {
		return o.target == h.target && o.tls == h.tls && o.token == h.token && o.seed == h.seed
	})
	if at >= 0 {
		return t.hubs[at]
	}
	h.remark = func(class translate.Class, reason string) translate.Remark {
		return m.remark("target_url", class, reason)
	}
	t.hubs = append(t.hubs, h)
	return h
}

// firstSet returns the first mapping that has keys; the last one if none has.
func firstSet(mappings ...*mapping) *mapping {
	for _, m := range mappings {
		if len(m.keys) > 0 {
			return m
		}
	}
	return mappings[len(mappings)-1]
}

// writeHub writes the tables of a hub and its streams.
func (t *translation) writeHub(h *hub) {
	table := "forward." + t.hubName(h)
	servers, login := t.servers(h)
	if len(servers) == 0 {
		t.out.Set(table, "enabled", "false", "name a server first")
	}
	t.out.Set(table, "servers", translate.QuoteAll(servers), "")
	switch {
	case h.token != "" && h.seed != "":
		t.out.Set(table, "token", translate.Quote("file:"+h.token), "")
		t.out.Set(table, "seed", translate.Quote(h.seed), "")
	case login.credentials != "":
		t.out.Set(table, "credentials", translate.Quote(login.credentials), "")
	case login.user != "":
		t.out.Set(table, "user", translate.Quote(login.user), "")
		if login.password != "" {
			t.out.Set(table, "password", translate.Quote(login.password), `better: "file:PATH"`)
		}
	}
	for _, file := range []struct{ key, path string }{{"cert", h.tls.cert}, {"key", h.tls.key}, {"ca", h.tls.ca}} {
		if file.path != "" {
			t.out.Set(table+".tls", file.key, translate.Quote(file.path), "")
		}
	}
	t.remark(h.remark(translate.Caution, fmt.Sprintf("the target must be an appliance, the hub: its [broker.sites] has "+
		"%s = \"NAME\" with the name in the certificate, or in the token, of this edge; messages arrive there on %s",
		cmp.Or(t.site, "SITE"), contract.SiteSubject(cmp.Or(t.site, "SITE"), ">"))))
	if h.tls.cert == "" && h.token == "" {
		t.remark(h.remark(translate.Caution, "neither a certificate nor a token for the hub is set: "+
			"\"muster enroll --site\" at the hub makes what it needs"))
	}
	if !slices.ContainsFunc(h.streams, func(s *stream) bool { return s.name == contract.StreamRegistration }) {
		t.out.Set(table+".stream."+contract.StreamRegistration, "enabled", "false",
			"the Stream Replicator did not copy it; the hub then has no facts of nodes")
	}
	for _, s := range h.streams {
		t.writeStream(table, s)
	}
}

// hubName returns the name of a hub: "hub" if there is only one, and otherwise that of its host.
func (t *translation) hubName(h *hub) string {
	if len(t.hubs) == 1 {
		return "hub"
	}
	names := make([]string, len(t.hubs))
	for i, other := range t.hubs {
		first, _, _ := strings.Cut(other.target, ",")
		host := "hub"
		if u, err := url.Parse(withScheme(first)); err == nil && u.Hostname() != "" {
			host = u.Hostname()
		}
		names[i] = cmp.Or(validName(host), "hub")
		if slices.Contains(names[:i], names[i]) {
			names[i] = fmt.Sprintf("%.60s-%d", names[i], i+1)
		}
	}
	return names[slices.Index(t.hubs, h)]
}

// login is what a URL has beside the server.
type login struct{ user, password, credentials string }

// servers returns the servers of a hub, and the login for them.
func (t *translation) servers(h *hub) (servers []string, l login) {
	encrypted := h.tls != files{} || h.token != ""
	for text := range strings.SplitSeq(h.target, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		u, err := url.Parse(withScheme(text))
		if err != nil || u.Host == "" {
			t.remark(h.remark(translate.Caution, "a part of it is not a URL; it is left out"))
			continue
		}
		switch scheme := u.Scheme; {
		case scheme == "tls" || scheme == "nats" && encrypted:
			servers = append(servers, "tls://"+u.Host)
		case scheme == "nats":
			servers = append(servers, "nats://"+u.Host)
		case scheme == "wss" || scheme == "ws" && encrypted:
			servers = append(servers, "wss://"+u.Host+u.EscapedPath())
		case scheme == "ws":
			servers = append(servers, "ws://"+u.Host+u.EscapedPath())
		default:
			t.remark(h.remark(translate.Caution, fmt.Sprintf("%s is not supported; write tls:// and the port of the hub "+
				"for NATS clients in servers, or wss:// and its port for WebSocket", translate.Printable(scheme+"://"))))
		}
		password, _ := u.User.Password()
		l.user, l.password = cmp.Or(l.user, u.User.Username()), cmp.Or(l.password, password)
		t.query(h, u.Query(), &l)
	}
	return servers, l
}

// query translates the options of a URL.
func (t *translation) query(h *hub, query url.Values, l *login) {
	l.credentials = cmp.Or(l.credentials, query.Get("credentials"))
	if query.Has("jwt") || query.Has("nkey") {
		t.remark(h.remark(translate.Caution, "the options jwt and nkey are not supported: "+
			"make a file with both, as \"nsc generate creds\" does, and set credentials"))
	}
	if query.Has("insecure") {
		t.remark(h.remark(translate.Caution,
			"the option insecure is not supported: the certificate of the hub is verified"))
	}
	if query.Has("tls_handshake_first") {
		t.remark(h.remark(translate.Caution, "the option tls_handshake_first is not supported, and a hub does not need it"))
	}
	if query.Has("connect_timeout") {
		t.remark(h.remark(translate.Note, "the option connect_timeout is not needed: an edge connects again without end"))
	}
}

// withScheme returns the URL of a server; NATS allows it to be an address.
func withScheme(server string) string {
	if strings.Contains(server, "://") {
		return server
	}
	return "nats://" + server
}
