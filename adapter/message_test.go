package adapter

import (
	"testing"

	"github.com/muster-appliance/muster/internal/inproc"
)

func TestMessage_Publisher(t *testing.T) {
	for name, test := range map[string]struct {
		message  message
		name     string
		verified bool
	}{
		"verified sender":            {message{sender: "web1", claimed: "web1", verified: true}, "web1", true},
		"sender of its connection":   {message{sender: "web1", peer: inproc.Peer{User: "web1"}}, "web1", true},
		"sender of a relay":          {message{sender: "web1", peer: inproc.Peer{User: "relay"}}, "web1", false},
		"identity of the connection": {message{claimed: "web2", peer: inproc.Peer{User: "web1", Name: "x"}}, "web1", true},
		"name of the connection":     {message{claimed: "web2", peer: inproc.Peer{Name: "web1"}}, "web1", false},
		"claimed sender":             {message{claimed: "web2"}, "web2", false},
		"nothing":                    {message{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if name, verified := test.message.publisher(); name != test.name || verified != test.verified {
				t.Errorf("%q, verified: %t; want %q, %t", name, verified, test.name, test.verified)
			}
		})
	}
}
