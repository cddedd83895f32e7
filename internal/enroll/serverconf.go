package enroll

import (
	"fmt"
	"path"
	"strings"
)

// serverConf holds the settings with which a Choria server registers with an appliance.
type serverConf struct {
	Identity   string
	Broker     string // host and port
	Collective string
	Dir        string // directory on the node of the files below
	Facts      string // name of the file that the node registers

	Certificate, Key string   // protocol 1: names of PEM files
	Token, Seed      string   // protocol 2: names of files
	CA               string   // name of a PEM file, to verify the broker's certificate
	Issuers          []issuer // protocol 2: of tokens that the node accepts
}

// text returns the configuration as Choria's parser reads it: a key and a value per line, without
// quotes, and comments on lines of their own.
func (s serverConf) text() string {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, value) }
	file := func(key, name string) { line(key, path.Join(s.Dir, name)) }

	fmt.Fprintf(&b, "# Configuration of the Choria server %s, written by \"muster enroll\".\n"+
		"# It registers with the Muster appliance at %s.\n", s.Identity, s.Broker)
	line("identity", s.Identity)
	line("collectives", s.Collective)

	fmt.Fprintf(&b, "\n# The broker.\n")
	line("plugin.choria.use_srv", "false")
	line("plugin.choria.middleware_hosts", "nats://"+s.Broker)

	if s.Token != "" {
		fmt.Fprintf(&b, "\n# The identity of this node: a token of the organization, and the key of the token.\n")
		line("plugin.security.provider", "choria")
		file("plugin.security.choria.token_file", s.Token)
		file("plugin.security.choria.seed_file", s.Seed)
		file("plugin.security.choria.ca", s.CA)
		s.writeIssuers(line)
	} else {
		fmt.Fprintf(&b, "\n# The identity of this node: a certificate of the appliance's CA.\n")
		line("plugin.security.provider", "file")
		file("plugin.security.file.certificate", s.Certificate)
		file("plugin.security.file.key", s.Key)
		file("plugin.security.file.ca", s.CA)
	}

	fmt.Fprintf(&b, "\n# The node registers this file every five minutes. Keep it up to date, for example with\n"+
		"# \"facter --json\" run by cron. To register Choria's own inventory of the node instead of a\n"+
		"# file, set registration = inventory_content.\n")
	line("registration", "file_content")
	line("registerinterval", "300")
	line("registration_splay", "true")
	file("plugin.choria.registration.file_content.data", s.Facts)
	return b.String()
}

// writeIssuers writes the names and keys of the issuers.
func (s serverConf) writeIssuers(line func(key, value string)) {
	names := make([]string, len(s.Issuers))
	for i, issuer := range s.Issuers {
		names[i] = issuer.name
	}
	line("plugin.security.issuer.names", strings.Join(names, ","))
	for _, issuer := range s.Issuers {
		line("plugin.security.issuer."+issuer.name+".public", issuer.key)
	}
}
