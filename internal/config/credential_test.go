package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeCredentials makes a directory of credentials such as systemd hands to the service.
func makeCredentials(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"token": "secret\n", "muster_key.pem": "key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	return dir
}

func TestSecret_ReadsCredentials(t *testing.T) {
	makeCredentials(t)
	var text string
	if err := Secret(&text).set("credential:token"); err != nil || text != "secret" {
		t.Errorf("have %q, %v", text, err)
	}
}

func TestPath_FindsCredentials(t *testing.T) {
	dir := makeCredentials(t)
	for found, want := range map[string]string{
		"credential:token":   filepath.Join(dir, "token"),
		"credential:key.pem": filepath.Join(dir, "muster_key.pem"),
		"/etc/key.pem":       "/etc/key.pem",
		"":                   "",
	} {
		t.Run(found, func(t *testing.T) {
			var path string
			if err := Path(&path).set(found); err != nil || path != want {
				t.Errorf("have %q, %v", path, err)
			}
		})
	}
}

func TestCredential_RefusesNamesThatWereNotHandedOver(t *testing.T) {
	makeCredentials(t)
	for found, want := range map[string]string{
		"credential:other":    "did not hand over the credential other",
		"credential:":         "does not name a credential",
		"credential:../token": "does not name a credential",
		"credential:a/b":      "does not name a credential",
	} {
		t.Run(found, func(t *testing.T) {
			var text string
			for _, value := range []Value{Secret(&text), Path(&text)} {
				if err := value.set(found); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("have %v", err)
				}
			}
		})
	}
}

func TestPath_RefusesCredentialsWithoutSystemd(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	var text string
	err := Path(&text).set("credential:token")
	if err == nil || !strings.Contains(err.Error(), "was not started by systemd") {
		t.Error(err)
	}
	if err := Path(&text).set(5); err == nil {
		t.Error("a number was accepted as a path")
	}
}
