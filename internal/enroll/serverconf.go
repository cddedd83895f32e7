package enroll

import (
	"fmt"
	"path"
	"strings"
)

// serverConf is what a Choria server needs to know to register with an appliance.
type serverConf struct {
	Identity   string
	Broker     string // host and port
	Collective string
	Dir        string // on the node, where the files below are
	Facts      string // name of the file that it registers

	Certificate, Key string // protocol 1: names of PEM files
	Token, Seed      string // protocol 2: names of files
	CA               string // name of a PEM file, for the broker's certificate
	Issuer           string // protocol 2: hex public key of the organization "choria"
}

// text is the configuration as a file. Lines hold a key and a value, comments begin a line,
// and nothing is quoted: so Choria's parser has it.
func (s serverConf) text() string {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, value) }
	file := func(key, name string) { line(key, path.Join(s.Dir, name)) }

	fmt.Fprintf(&b, "# Choria server %s, which registers with the Muster appliance at\n# %s. \"muster enroll\" wrote this file.\n", s.Identity, s.Broker)
	line("identity", s.Identity)
	line("collectives", s.Collective)

	fmt.Fprintf(&b, "\n# Where to connect.\n")
	line("plugin.choria.use_srv", "false")
	line("plugin.choria.middleware_hosts", "nats://"+s.Broker)

	if s.Token != "" {
		fmt.Fprintf(&b, "\n# Who this node is: a token of the organization, and the key that it is for.\n")
		line("plugin.security.provider", "choria")
		file("plugin.security.choria.token_file", s.Token)
		file("plugin.security.choria.seed_file", s.Seed)
		file("plugin.security.choria.ca", s.CA)
		line("plugin.security.issuer.names", "choria")
		line("plugin.security.issuer.choria.public", s.Issuer)
	} else {
		fmt.Fprintf(&b, "\n# Who this node is: a certificate under the appliance's CA.\n")
		line("plugin.security.provider", "file")
		file("plugin.security.file.certificate", s.Certificate)
		file("plugin.security.file.key", s.Key)
		file("plugin.security.file.ca", s.CA)
	}

	fmt.Fprintf(&b, "\n# What it registers: this file, every five minutes. Let something keep it up to date,\n"+
		"# such as cron with \"facter --json\". Without a file, \"inventory_content\" in the place of\n"+
		"# \"file_content\" registers what Choria knows of the node by itself.\n")
	line("registration", "file_content")
	line("registerinterval", "300")
	line("registration_splay", "true")
	file("plugin.choria.registration.file_content.data", s.Facts)
	return b.String()
}
