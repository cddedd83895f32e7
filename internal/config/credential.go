package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// credentialPrefix begins the name of a file that systemd has handed to the service, see
	// LoadCredential= in systemd.exec(5).
	credentialPrefix = "credential:"
	// loaded is what systemd puts before the name of a file, where the unit hands over a directory
	// of them as the packages' does.
	loaded = "muster_"
	// kept is that directory, in which root finds them without systemd.
	kept = "/etc/muster/credentials"
)

// Path is the path of a file, or "credential:NAME" for one that systemd has handed to the
// service.
func Path(into *string) Value { return pathValue{stringValue{into}} }

type pathValue struct{ stringValue }

func (v pathValue) set(found any) error {
	if err := v.stringValue.set(found); err != nil {
		return err
	}
	name, is := strings.CutPrefix(*v.into, credentialPrefix)
	if !is {
		return nil
	}
	path, err := credential(name)
	*v.into = path
	return err
}

// credential is the path of one. A path that nobody can open comes with the error.
func credential(name string) (string, error) {
	if name == "" || name != filepath.Base(name) {
		return credentialPrefix + name, fmt.Errorf("%q names no credential; write the name of its file, such as credential:key.pem", credentialPrefix+name)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if path := filepath.Join(kept, name); dir == "" && exists(path) {
		return path, nil
	}
	if dir == "" {
		return name, fmt.Errorf("the credential %s is handed over by systemd (LoadCredential=), and this was not started by it; root finds it in %s", name, kept)
	}
	for _, file := range []string{name, loaded + name} {
		if path := filepath.Join(dir, file); exists(path) {
			return path, nil
		}
	}
	return filepath.Join(dir, name), fmt.Errorf("systemd has handed over no credential %s; the unit's LoadCredential= says which it does", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
