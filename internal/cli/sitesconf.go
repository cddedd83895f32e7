package cli

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/appliance"
)

// sitesTable is the table of the sites that forward to a hub.
const sitesTable = "broker.sites"

// allowSite makes the configuration file of a hub let an edge forward for a site. It reports false if it does not find
// where; an operator must then add the line.
func allowSite(file, site, edge string) (allowed bool, line string, err error) {
	line = fmt.Sprintf("%s = %q", site, edge)
	text, err := os.ReadFile(file)
	if err != nil {
		return false, line, err
	}
	cfg, err := appliance.Parse(file, text)
	if err != nil {
		return false, line, err
	}
	if cfg.Broker.Sites[site] == edge {
		return true, line, nil
	}
	want := maps.Clone(cfg.Broker.Sites)
	if want == nil {
		want = broker.Sites{}
	}
	want[site] = edge
	after, has := addLine(removeLine(string(text), sitesTable, site), sitesTable, line)
	if !has {
		after = withTable(string(text), sitesTable, line)
	}
	allowed, err = editConfig(file, after, func(c *appliance.Config) bool { return maps.Equal(c.Broker.Sites, want) })
	return allowed, line, err
}

// withTable returns the text of a configuration with a table at its end.
func withTable(text, table, line string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + "\n# The sites that edges forward, and the name in the certificate or token of the edge of each.\n[" +
		table + "]\n" + line + "\n"
}
