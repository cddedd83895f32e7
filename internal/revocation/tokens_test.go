package revocation

import (
	"reflect"
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

func TestTokens_WithoutAndUnion(t *testing.T) {
	const all, may, june = "token a\nissuer b\nidentity c", "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"
	for name, test := range map[string]struct {
		list, other string
		without     int
		union       string
	}{
		"the same":       {all, "identity c\nissuer b\ntoken a", 0, all},
		"empty":          {all, "", 3, all},
		"more":           {"token a", "token a\ntoken b", 0, "token a\ntoken b"},
		"other kinds":    {"token a", "issuer a\nidentity a", 1, "token a\nissuer a\nidentity a"},
		"a later time":   {"identity a " + may, "identity a " + june, 0, "identity a " + june},
		"no time":        {"identity a " + may, "identity a", 0, "identity a"},
		"the same time":  {"identity a " + may, "identity a " + may, 0, "identity a " + may},
		"an earlier one": {"identity a " + june, "identity a " + may, 1, "identity a " + june},
		"only a time":    {"identity a", "identity a " + june, 1, "identity a"},
	} {
		t.Run(name, func(t *testing.T) {
			var lists []*Tokens
			for _, text := range []string{test.list, test.other, test.union} {
				list, err := ParseTokens(text)
				if err != nil {
					t.Fatal(err)
				}
				lists = append(lists, list)
			}
			if have := lists[0].Without(lists[1]); have != test.without {
				t.Errorf("%d entries without, want %d", have, test.without)
			}
			if have := lists[0].Union(lists[1]); !reflect.DeepEqual(have, lists[2]) {
				t.Errorf("union %v, want %v", have, lists[2])
			}
			if lists[0].Without(nil) != lists[0].Len() || (*Tokens)(nil).Without(lists[0]) != 0 ||
				!reflect.DeepEqual((*Tokens)(nil).Union(lists[0]), lists[0]) {
				t.Error("a nil list")
			}
		})
	}
}
