package enroll

import "fmt"

// clientConf holds the settings with which Choria's commands manage the fleet.
type clientConf struct {
	choriaConf
	Identity string // name of the certificate; empty with a token, which has it
}

// text returns the configuration as Choria's parser reads it.
func (c clientConf) text() string {
	w := &confWriter{dir: c.Dir}
	fmt.Fprintf(w, "# Configuration of Choria's commands, written by \"muster enroll --client\".\n"+
		"# They connect to the Muster appliance at %s.\n", c.Broker)
	if c.Identity != "" {
		w.line("identity", c.Identity)
	}
	c.writeConnection(w, "client")
	return w.String()
}
