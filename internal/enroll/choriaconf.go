package enroll

import (
	"fmt"
	"path"
	"strings"
)

// choriaConf holds what the configurations of a Choria server and of a client have in common.
type choriaConf struct {
	Broker     string // host and port, or a URL
	Collective string
	Dir        string // directory on the machine of the files below; it may begin with ~

	Certificate, Key string   // protocol 1: names of PEM files
	Token, Seed      string   // protocol 2: names of files
	CA               string   // name of a PEM file, to verify the broker's certificate
	Issuers          []issuer // protocol 2: of tokens that the machine accepts
}

// confWriter writes a configuration as Choria's parser reads it: a key and a value per line, without
// quotes, and comments on lines of their own.
type confWriter struct {
	strings.Builder
	dir string
}

// comment writes an empty line and lines of a comment, each with its #.
func (w *confWriter) comment(lines string) { fmt.Fprintf(w, "\n%s\n", lines) }

func (w *confWriter) line(key, value string) { fmt.Fprintf(w, "%s = %s\n", key, value) }

// file writes a key whose value is the path of a file.
func (w *confWriter) file(key, name string) { w.line(key, path.Join(w.dir, name)) }

// writeConnection writes how to reach the broker, and the credentials. holder says whose they are.
func (c *choriaConf) writeConnection(w *confWriter, holder string) {
	w.line("collectives", c.Collective)
	w.comment("# The broker.")
	w.line("plugin.choria.use_srv", "false")
	w.line("plugin.choria.middleware_hosts", withScheme("nats", c.Broker))
	if c.Token != "" {
		w.comment("# The identity of this " + holder + ": a token of the organization, and the key of the token.")
		w.line("plugin.security.provider", "choria")
		w.file("plugin.security.choria.token_file", c.Token)
		w.file("plugin.security.choria.seed_file", c.Seed)
		w.file("plugin.security.choria.ca", c.CA)
		c.writeIssuers(w)
		return
	}
	w.comment("# The identity of this " + holder + ": a certificate of the appliance's CA.")
	w.line("plugin.security.provider", "file")
	w.file("plugin.security.file.certificate", c.Certificate)
	w.file("plugin.security.file.key", c.Key)
	w.file("plugin.security.file.ca", c.CA)
}

// withScheme returns the URL of a broker, which is a URL or a host and port.
func withScheme(scheme, broker string) string {
	if strings.Contains(broker, "://") {
		return broker
	}
	return scheme + "://" + broker
}

// writeIssuers writes the names and keys of the issuers.
func (c *choriaConf) writeIssuers(w *confWriter) {
	names := make([]string, len(c.Issuers))
	for i, issuer := range c.Issuers {
		names[i] = issuer.name
	}
	w.line("plugin.security.issuer.names", strings.Join(names, ","))
	for _, issuer := range c.Issuers {
		w.line("plugin.security.issuer."+issuer.name+".public", issuer.key)
	}
}
