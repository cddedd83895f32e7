package enroll

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestSite_ClientIdentity(t *testing.T) {
	certificates, tokens := newSite(t, false), newSite(t, true)
	for user, want := range map[string]struct{ certificate, token string }{
		"rip":             {"rip.mcollective", "choria=rip"},
		"rip.mcollective": {"rip.mcollective", "choria=rip"},
		"choria=rip":      {"rip.mcollective", "choria=rip"},
		"ops.choria":      {"ops.choria", "choria=ops.choria"},
	} {
		t.Run(user, func(t *testing.T) {
			if have := certificates.ClientIdentity(user); have != want.certificate {
				t.Errorf("certificate %s, want %s", have, want.certificate)
			}
			if have := tokens.ClientIdentity(user); have != want.token {
				t.Errorf("token %s, want %s", have, want.token)
			}
		})
	}
}

func TestClientUser(t *testing.T) {
	for identity, want := range map[string]string{"rip.mcollective": "rip", "choria=rip": "rip", "ops.choria": ""} {
		if have := ClientUser(identity); have != want {
			t.Errorf("%s: have %q, want %q", identity, have, want)
		}
	}
}

// enrollRip enrolls a client.
func enrollRip(t *testing.T, s *Site, force bool) (dir string) {
	t.Helper()
	dir, err := s.EnrollClient(Client{Identity: s.ClientIdentity("rip"), Broker: "collector1.example.net:4222",
		InstallDir: "~/.config/choria", Force: force}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSite_EnrollClientWithCertificate(t *testing.T) {
	s := newSite(t, false)
	dir := enrollRip(t, s, false)
	conf := parseConf(t, read(t, dir, "client.conf"))
	for key, want := range map[string]string{
		"identity": "rip.mcollective", "collectives": "mcollective", "plugin.security.provider": "file",
		"plugin.choria.use_srv": "false", "plugin.choria.middleware_hosts": "nats://collector1.example.net:4222",
		"plugin.security.file.certificate": "~/.config/choria/cert.pem",
		"plugin.security.file.key":         "~/.config/choria/key.pem",
		"plugin.security.file.ca":          "~/.config/choria/ca.pem",
	} {
		if conf[key] != want {
			t.Errorf("%s is %q, want %q", key, conf[key], want)
		}
	}
	if leaf := leafOf(t, s, x509.ExtKeyUsageClientAuth, dir, "cert.pem"); leaf.Subject.CommonName != "rip.mcollective" {
		t.Errorf("have %s", leaf.Subject)
	}
	read(t, dir, "key.pem")
	read(t, dir, "ca.pem")
}

// TestSite_FinishWaitsForClients checks that the end of a rotation waits until a client has what it needs.
func TestSite_FinishWaitsForClients(t *testing.T) {
	t.Run("certificates", func(t *testing.T) {
		s := newSite(t, false)
		enrollRip(t, s, false)
		if err := s.RotateCA(time.Now()); err != nil {
			t.Fatal(err)
		}
		mustWaitFor(t, s.FinishCA(false, time.Now()), "rip.mcollective")
		enrollRip(t, s, true)
		if err := s.FinishCA(false, time.Now()); err != nil {
			t.Error(err)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		s := newSite(t, true)
		enrollRip(t, s, false)
		if _, _, err := s.NextIssuer(); err != nil {
			t.Fatal(err)
		}
		if err := s.SwitchIssuer(); err != nil {
			t.Fatal(err)
		}
		mustWaitFor(t, s.CheckFinishIssuer(false), "choria=rip")
		revoke(t, s, "choria=rip")
		if err := s.CheckFinishIssuer(false); err != nil {
			t.Error(err)
		}
	})
}
