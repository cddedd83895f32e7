package enroll

import "fmt"

// serverConf holds the settings with which a Choria server registers with an appliance.
type serverConf struct {
	choriaConf
	Identity string
	Facts    string // name of the file that the node registers
}

// text returns the configuration as Choria's parser reads it.
func (s serverConf) text() string {
	w := &confWriter{dir: s.Dir}
	fmt.Fprintf(w, "# Configuration of the Choria server %s, written by \"muster enroll\".\n"+
		"# It registers with the Muster appliance at %s.\n", s.Identity, s.Broker)
	w.line("identity", s.Identity)
	s.writeConnection(w, "node")
	s.writeAuthorization(w)
	w.comment("# The node registers this file every five minutes. Keep it up to date, for example with\n" +
		"# \"facter --json\" run by cron. To register Choria's own inventory of the node instead of a\n" +
		"# file, set registration = inventory_content.")
	w.line("registration", "file_content")
	w.line("registerinterval", "300")
	w.line("registration_splay", "true")
	w.file("plugin.choria.registration.file_content.data", s.Facts)
	return w.String()
}

// writeAuthorization writes which callers may run actions. Choria's default denies every action of an
// agent for which there is no policy. plugin.actionpolicy.allow_unconfigured does not change that.
func (s serverConf) writeAuthorization(w *confWriter) {
	if s.Token != "" {
		w.comment("# Which actions a caller may run: those that its token names.")
		w.line("rpcauthprovider", "aaasvc")
		return
	}
	w.comment("# Which actions a caller may run: those that policies/AGENT.policy beside this file allows. Without\n" +
		"# the policy of an agent, all its actions are denied; only \"choria ping\" works. In a lab, let every\n" +
		"# client of the appliance's CA run all actions:\n# rpcauthorization = false")
}
