package enroll

import (
	"cmp"
	"fmt"
	"path"
	"strings"
)

// edgeConf holds the settings of an edge.
type edgeConf struct {
	Edge
	revocations string   // name of the file with CRLs or revoked tokens; empty: the site has none
	issuers     []issuer // of tokens; none: nodes have certificates
}

// text returns the configuration of the edge's appliance.
func (c edgeConf) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration of the edge of the site %[1]s, written by "muster enroll --site". Keys that are
# not set have their defaults; the appliance.toml that Muster ships lists every key.
identity = %[2]q
site = %[1]q
data_dir = %[3]q

# Where the nodes of the site connect.
[broker]
listen = %[4]q
%[5]s`, c.Site, c.Identity, cmp.Or(c.Data, path.Join(c.InstallDir, "data")), c.Listen, c.Broker)
	if len(c.issuers) > 0 && c.revocations != "" {
		fmt.Fprintf(&b, "revoked_tokens = %q\n", c.file(c.revocations))
	}
	fmt.Fprintf(&b, "\n[broker.tls]\ncert = %q\nkey = %q\n", c.file(fileCert), c.file(fileKey))
	c.writeTrust(&b)
	b.WriteString(c.Roles)
	fmt.Fprintf(&b, `
# The hub gets registrations whose facts changed, and all events of the fleet view.
[forward.hub]
servers = [%q]
`, withScheme("tls", c.Hub))
	if len(c.issuers) > 0 {
		fmt.Fprintf(&b, "token = %q\nseed = %q\n\n[forward.hub.tls]\nca = %q\n",
			"file:"+c.file(fileToken), c.file(fileSeed), c.file(fileCA))
		return b.String()
	}
	fmt.Fprintf(&b, "\n[forward.hub.tls]\ncert = %q\nkey = %q\nca = %q\n",
		c.file(fileCert), c.file(fileKey), c.file(fileCA))
	return b.String()
}

// file returns the path of a file on the edge.
func (c edgeConf) file(name string) string { return path.Join(c.InstallDir, name) }

// writeTrust writes which certificates or tokens the edge accepts.
func (c edgeConf) writeTrust(b *strings.Builder) {
	if len(c.issuers) == 0 {
		fmt.Fprintf(b, "ca = %q\n", c.file(fileCA))
		if c.revocations != "" {
			fmt.Fprintf(b, "crl = %q\n", c.file(c.revocations))
		}
		return
	}
	// Without a CA in [broker.tls] the broker accepts no client certificates: nodes have tokens.
	b.WriteString("\n[broker.issuers]\n")
	for _, issuer := range c.issuers {
		fmt.Fprintf(b, "%s = %q\n", issuer.name, issuer.key)
	}
}
