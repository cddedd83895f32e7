package cli

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"os"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
)

// issuersTable is the table of issuers.
const issuersTable = "broker.issuers"

// trustIssuer makes a configuration file trust an issuer, beside those that it trusts. It reports false
// if it does not find where; an operator must then add the line.
func trustIssuer(file, name, key string) (trusted bool, line string, err error) {
	line = fmt.Sprintf("%s = %q", name, key)
	public, err := choria.PublicKey(key)
	if err != nil {
		return false, line, err
	}
	trusted, err = editIssuers(file, func(text string, issuers choria.Issuers) string {
		issuers[name] = public
		after, _ := addLine(text, issuersTable, line)
		return after
	})
	return trusted, line, err
}

// distrustIssuer makes a configuration file trust an issuer no more. It reports false if it does not
// find the line; an operator must then remove it.
func distrustIssuer(file, name string) (removed bool, err error) {
	return editIssuers(file, func(text string, issuers choria.Issuers) string {
		delete(issuers, name)
		return removeLine(text, issuersTable, name)
	})
}

// editIssuers changes the text of a configuration file, if the result has exactly the issuers that edit
// leaves in the map, and is valid. It reports whether the file has these issuers now.
func editIssuers(file string, edit func(text string, issuers choria.Issuers) string) (done bool, err error) {
	before, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	cfg, err := appliance.Parse(file, before)
	if err != nil {
		return false, err
	}
	want := maps.Clone(cfg.Broker.Issuers)
	if want == nil {
		want = choria.Issuers{}
	}
	has := func(c *appliance.Config) bool {
		return maps.EqualFunc(c.Broker.Issuers, want, func(a, b ed25519.PublicKey) bool { return a.Equal(b) })
	}
	after := edit(string(before), want)
	if has(cfg) {
		return true, nil
	}
	return editConfig(file, after, has)
}
