package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreFilesThatSystemdHandsOver(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "secret\n", "muster_key.pem": "key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	var text string
	if err := Secret(&text).set("credential:token"); err != nil || text != "secret" {
		t.Errorf("%q %v", text, err)
	}
	for found, want := range map[string]string{
		"credential:token": filepath.Join(dir, "token"), "credential:key.pem": filepath.Join(dir, "muster_key.pem"), "/etc/key.pem": "/etc/key.pem", "": "",
	} {
		if err := Path(&text).set(found); err != nil || text != want {
			t.Errorf("%s: %q %v", found, text, err)
		}
	}
	for found, want := range map[string]string{
		"credential:other": "handed over no credential other", "credential:": "names no credential", "credential:../token": "names no credential", "credential:a/b": "names no credential",
	} {
		for _, value := range []Value{Secret(&text), Path(&text)} {
			if err := value.set(found); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", found, err)
			}
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if err := Path(&text).set("credential:token"); err == nil || !strings.Contains(err.Error(), "was not started by it") {
		t.Error(err)
	}
	if err := Path(&text).set(5); err == nil {
		t.Error("a number is a path")
	}
}
