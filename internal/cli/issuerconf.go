package cli

import (
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
)

// issuersHeader matches the header of the table of issuers.
var issuersHeader = regexp.MustCompile(`(?m)^\[broker\.issuers\][ \t]*(#.*)?\n`)

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
		header := issuersHeader.FindStringIndex(text)
		if header == nil {
			return text
		}
		return text[:header[1]] + line + "\n" + text[header[1]:]
	})
	return trusted, line, err
}

// distrustIssuer makes a configuration file trust an issuer no more. It reports false if it does not
// find the line; an operator must then remove it.
func distrustIssuer(file, name string) (removed bool, err error) {
	line := regexp.MustCompile(`(?m)^[ \t]*"?` + regexp.QuoteMeta(name) + `"?[ \t]*=.*\n`)
	return editIssuers(file, func(text string, issuers choria.Issuers) string {
		delete(issuers, name)
		header := issuersHeader.FindStringIndex(text)
		if header == nil {
			return text
		}
		at := line.FindStringIndex(text[header[1]:])
		if at == nil {
			return text
		}
		return text[:header[1]+at[0]] + text[header[1]+at[1]:]
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
	has := func(issuers choria.Issuers) bool {
		return maps.EqualFunc(issuers, want, func(a, b ed25519.PublicKey) bool { return a.Equal(b) })
	}
	after := edit(string(before), want)
	if has(cfg.Broker.Issuers) {
		return true, nil
	}
	changed, err := appliance.Parse(file, []byte(after))
	if err != nil || !has(changed.Broker.Issuers) {
		return false, nil //nolint:nilerr // an operator must edit the file
	}
	return true, replaceFile(file, after)
}

// replaceFile replaces the content of a file at once, and keeps its mode and its group.
func replaceFile(file, text string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }() // gone already, if it was renamed
	_, err = next.WriteString(text)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && os.Getuid() == 0 {
		err = next.Chown(int(stat.Uid), int(stat.Gid))
	}
	if err == nil {
		err = next.Chmod(info.Mode() & fs.ModePerm)
	}
	if err == nil {
		err = next.Sync()
	}
	if closed := next.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}
