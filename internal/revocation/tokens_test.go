package revocation

import (
	"strings"
	"testing"
	"time"
)

func TestParseTokens(t *testing.T) {
	list, err := ParseTokens(`# revoked
identity web1.example.net

identity web2.example.net 2026-05-01T12:00:00Z # stolen
identity web2.example.net 2026-04-01T12:00:00Z
token 2abc
issuer acme
` + IdentityLine("web3", now) + TokenLine("2def"))
	if err != nil {
		t.Fatal(err)
	}
	for name, have := range map[string]bool{
		"all tokens":           list.Identity("web1.example.net", now.AddDate(1, 0, 0)),
		"of no known time":     list.Identity("web2.example.net", time.Time{}),
		"issued before":        list.Identity("web2.example.net", now.Add(-time.Second)),
		"by id":                list.ID("2abc"),
		"by the written id":    list.ID("2def"),
		"by issuer":            list.Issuer("acme"),
		"by the written name":  list.Identity("web3", now.Add(-time.Second)),
		"not another name":     !list.Identity("web4", now),
		"not a later token":    !list.Identity("web2.example.net", now),
		"not another id":       !list.ID(""),
		"not another issuer":   !list.Issuer(""),
		"nil revokes no name":  !(*Tokens)(nil).Identity("web1.example.net", now),
		"nil revokes no token": !(*Tokens)(nil).ID("2abc"),
		"nil has no entries":   (*Tokens)(nil).Len() == 0,
		"every entry":          list.Len() == 6,
	} {
		if !have {
			t.Error(name)
		}
	}
}

func TestParseTokens_NamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"\nweb1.example.net\n":          `line 2: expected identity, token or issuer, found "web1.example.net"`,
		"identity\n":                    "line 1: expected identity and one value, found 1 words",
		"token a b":                     "line 1: expected token and one value, found 3 words",
		"identity a\nidentity a monday": `line 2: "monday" is not a valid time; write it as 2006-01-02T15:04:05Z`,
		"identity a 1 2":                "line 1: expected identity and one value, found 4 words",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := ParseTokens(text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("have %v, want %s", err, want)
			}
		})
	}
}
