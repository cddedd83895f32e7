package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// credentialPrefix marks a value as the name of a credential: a file that systemd passes to
	// the service, see LoadCredential= in systemd.exec(5).
	credentialPrefix = "credential:"
	// unitPrefix is what systemd puts before the name of a file if the unit loads a directory,
	// as the unit of the packages does.
	unitPrefix = "muster_"
	// credentialDir is that directory. Without systemd, a process of root reads the files there.
	credentialDir = "/etc/muster/credentials"
)

// Path is the path of a file, or "credential:NAME" for a file that systemd passes to the
// service.
func Path(into *string) Value { return pathValue{stringValue{into}} }

// PathList is a list of what Path takes; a single text is a list of one.
func PathList(into *[]string) Value {
	parse := func(text string) (path string, err error) {
		err = Path(&path).set(text)
		return path, err
	}
	return ParsedList(into, parse, func(path string) string { return path })
}

type pathValue struct{ stringValue }

func (v pathValue) set(found any) error {
	if err := v.stringValue.set(found); err != nil {
		return err
	}
	name, ok := strings.CutPrefix(*v.into, credentialPrefix)
	if !ok {
		return nil
	}
	path, err := credential(name)
	*v.into = path
	return err
}

// credential returns the path of the credential. With an error it returns a path that does
// not exist, so that later checks do not treat the key as empty.
func credential(name string) (string, error) {
	if name == "" || name != filepath.Base(name) {
		return credentialPrefix + name,
			fmt.Errorf("%q does not name a credential; write the name of its file, such as credential:key.pem",
				credentialPrefix+name)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if path := filepath.Join(credentialDir, name); dir == "" && exists(path) {
		return path, nil
	}
	if dir == "" {
		return name, fmt.Errorf("systemd hands over the credential %s (LoadCredential=), but this process was not "+
			"started by systemd; without it, only root can read credentials, from %s", name, credentialDir)
	}
	for _, file := range []string{name, unitPrefix + name} {
		if path := filepath.Join(dir, file); exists(path) {
			return path, nil
		}
	}
	return filepath.Join(dir, name),
		fmt.Errorf("systemd did not hand over the credential %s; LoadCredential= of the unit lists those it does", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
