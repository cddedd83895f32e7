package broker

import (
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/audit"
	"github.com/nats-io/nats.go"
)

func TestAuthenticator_RecordsAdministrators(t *testing.T) {
	records := make(chan audit.Record, 1)
	s := openSiteWith(t, func(_ *site, _ *Config, o *Options) { o.Audit = func(r audit.Record) { records <- r } })
	system := nats.UserInfo("system", "secret")
	for name, test := range map[string]struct {
		options []nats.Option
		want    string // identity and proof; empty: not recorded
	}{
		"administrator's certificate": {[]nats.Option{s.certificate("root.example.net")}, "root.example.net certificate"},
		"admin token":                 {[]nats.Option{s.anonymous(), nats.Token(s.broker.AdminToken())}, "admin admin.token"},
		"org_admin":                   {s.withToken(s.client("choria=rip", "org_admin")), "choria=rip token"},
		"streams_admin":               {s.withToken(s.client("choria=rip", "streams_admin")), "choria=rip token"},
		"system user":                 {[]nats.Option{s.certificate("web1"), system}, "system password"},
		"client's token":              {s.withToken(s.client("choria=rip", "streams_user", "fleet_management")), ""},
		"client's certificate":        {[]nats.Option{s.certificate("rip.mcollective")}, ""},
		"node":                        {[]nats.Option{s.certificate("web1")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := s.connect(append(test.options, nats.Name("n"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			id, err := nc.GetClientID()
			if err != nil {
				t.Fatal(err)
			}
			var r audit.Record
			have := ""
			select {
			case r = <-records:
				have = r.Identity + " " + r.Proof
			default:
			}
			if have != test.want {
				t.Fatalf("recorded %q, want %q", have, test.want)
			}
			rest := fmt.Sprint(r.Action, r.Address, r.Name, r.Connection)
			if have != "" && rest != fmt.Sprint("connect", "127.0.0.1", "n", id) {
				t.Errorf("%+v", r)
			}
		})
	}
}
