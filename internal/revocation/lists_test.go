package revocation

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// parse returns the certificate in a PEM text.
func parse(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// crls returns the CRLs in PEM texts.
func crls(t *testing.T, texts ...string) []*x509.RevocationList {
	t.Helper()
	if len(texts) == 0 {
		return nil
	}
	parsed, err := ParseCRLs([]byte(strings.Join(texts, "")))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// leaf issues a certificate of a node.
func leaf(t *testing.T, ca *authority.Authority, name string) (text string, c *x509.Certificate) {
	t.Helper()
	text, _ = ca.Pair(nil, name)
	return text, parse(t, text)
}

func past(c *x509.RevocationList) { c.NextUpdate = now.Add(-time.Minute) }

// revoked reports whether the lists revoke a chain.
func revoked(l *Lists, chain ...*x509.Certificate) bool { return l.Revoked(l.Links(chain)) }

func TestLists_EachCAOfAChainCounts(t *testing.T) {
	root := authority.New(t, now)
	below := root.Intermediate("below")
	text, node := leaf(t, below, "web1")
	_, other := leaf(t, below, "web2")
	rootCert, belowCert := parse(t, root.PEM()), parse(t, below.PEM())
	for name, test := range map[string]struct {
		crls        []string
		node, other bool
		warnings    string
	}{
		"none revoked":     {[]string{root.CRL(nil), below.CRL(nil)}, false, false, ""},
		"the node":         {[]string{root.CRL(nil), below.CRL(nil, text)}, true, false, ""},
		"the intermediate": {[]string{root.CRL(nil, below.PEM()), below.CRL(nil)}, true, true, ""},
		"of the wrong CA":  {[]string{root.CRL(nil, text), below.CRL(nil)}, false, false, ""},
		"one is missing":   {[]string{below.CRL(nil, text)}, true, false, "there is no CRL of CN=Test CA"},
		"other is missing": {[]string{root.CRL(nil)}, false, false, "there is no CRL of CN=below"},
		"past nextUpdate":  {[]string{root.CRL(nil), below.CRL(past, text)}, true, false, "the CRL of CN=below ended on"},
	} {
		for place, cas := range map[string][]*x509.Certificate{
			"both CAs in the files": {rootCert, belowCert}, "the root in the files": {rootCert},
		} {
			t.Run(name+"/"+place, func(t *testing.T) {
				l := NewLists(crls(t, test.crls...), cas, nil, now)
				chains := [][]*x509.Certificate{{node, belowCert, rootCert}}
				if len(cas) == 2 {
					chains = append(chains, []*x509.Certificate{node, belowCert}) // as x509 finds it
				}
				for _, chain := range chains {
					links := l.Links(chain)
					others := append([]*x509.Certificate{other}, chain[1:]...)
					if l.Revoked(links) != test.node || revoked(l, others...) != test.other {
						t.Errorf("a chain of %d: want %v %v", len(chain), test.node, test.other)
					}
				}
				have := strings.Join(l.Warnings(now), "\n")
				if (test.warnings == "") != (have == "") || !strings.HasPrefix(have, test.warnings) {
					t.Errorf("warnings %q, want %q", have, test.warnings)
				}
			})
		}
	}
}

func TestLists_LastGoodStaysInForce(t *testing.T) {
	ca, stranger := authority.New(t, now), authority.New(t, now)
	text, node := leaf(t, ca, "web1")
	caCert := parse(t, ca.PEM())
	cas := []*x509.Certificate{caCert}
	good := NewLists(crls(t, ca.CRL(nil, text)), cas, nil, now)
	old := ca.CRL(past)
	for name, test := range map[string]struct {
		crls     []string
		revoked  bool
		warnings string
	}{
		"replaced":        {[]string{ca.CRL(nil)}, false, ""},
		"wrongly signed":  {[]string{stranger.CRL(nil)}, true, "the CRL of CN=Test CA is not signed by that CA"},
		"none":            {nil, true, "no file has a usable CRL of CN=Test CA any more"},
		"past nextUpdate": {[]string{old}, true, "the CRL of CN=Test CA in the files ended on 2026-05-01"},
		"the newest":      {[]string{ca.CRL(nil, text), old}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLists(crls(t, test.crls...), cas, good, now)
			if have := revoked(l, node, caCert); have != test.revoked {
				t.Errorf("revoked %v", have)
			}
			have := strings.Join(l.Warnings(now), "\n")
			if (test.warnings == "") != (have == "") || !strings.Contains(have, test.warnings) {
				t.Errorf("warnings %q, want %q", have, test.warnings)
			}
		})
	}
	if l := NewLists(crls(t, stranger.CRL(nil)), cas, nil, now); revoked(l, node, caCert) {
		t.Error("a CRL of a stranger revokes")
	}
}

// TestLists_OlderCRLDoesNotReplaceNewer replaces a CRL that revokes web1 by others of the same CA, with number
// 5 of an hour ago.
func TestLists_OlderCRLDoesNotReplaceNewer(t *testing.T) {
	ca := authority.New(t, now)
	text, web1 := leaf(t, ca, "web1")
	other, web2 := leaf(t, ca, "web2")
	caCert := parse(t, ca.PEM())
	crl := func(number int64, age time.Duration, revoked ...string) []*x509.RevocationList {
		all := crls(t, ca.CRL(func(c *x509.RevocationList) {
			c.Number, c.ThisUpdate = big.NewInt(number), now.Add(-age)
		}, revoked...))
		if number == 0 {
			all[0].Number = nil
		}
		return all
	}
	for name, test := range map[string]struct {
		before, next []*x509.RevocationList
		web1, web2   bool
		warnings     string
	}{
		"the same":              {crl(5, time.Hour, text), crl(5, time.Hour, text), true, false, ""},
		"newer":                 {crl(5, time.Hour, text), crl(6, time.Minute, other), false, true, ""},
		"newer, clock set back": {crl(5, time.Hour, text), crl(6, 2*time.Hour, other), false, true, ""},
		"lower number, same time": {crl(5, time.Hour, text), crl(4, time.Hour, other), true, false,
			"(number 4 of 2026-05-01T11:00:00Z) is older than the last one (number 5 of 2026-05-01T11:00:00Z)"},
		"older":       {crl(5, time.Hour, text), crl(4, 2*time.Hour), true, false, "which stays in force"},
		"both":        {crl(5, time.Hour, text), slices.Concat(crl(4, time.Hour), crl(5, time.Hour, text)), true, false, ""},
		"same number": {crl(5, time.Hour, text), crl(5, 2*time.Hour), true, false, "is older than the last one"},
		"no numbers":  {crl(0, time.Hour, text), crl(0, 2*time.Hour), true, false, "(of 2026-05-01T10:00:00Z) is older"},
		"CA restored": {crl(5, time.Hour, text), crl(4, time.Minute, other), true, true, "what either revokes counts"},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLists(test.before, []*x509.Certificate{caCert}, nil, now)
			for range 2 { // as when the file is read again
				l = NewLists(test.next, []*x509.Certificate{caCert}, l, now)
				if revoked(l, web1, caCert) != test.web1 || revoked(l, web2, caCert) != test.web2 {
					t.Errorf("want %v %v", test.web1, test.web2)
				}
				have := strings.Join(l.Warnings(now), "\n")
				if (test.warnings == "") != (have == "") || !strings.Contains(have, test.warnings) {
					t.Errorf("warnings %q, want %q", have, test.warnings)
				}
			}
			l = NewLists(crl(7, 0), []*x509.Certificate{caCert}, l, now)
			if revoked(l, web1, caCert) || revoked(l, web2, caCert) || len(l.Warnings(now)) > 0 {
				t.Errorf("replaced by a newer one: %v", l.Warnings(now))
			}
		})
	}
}

// TestLists_RemembersIntermediates has an intermediate CA that only peers present: its new CRL applies
// to links that were made before.
func TestLists_RemembersIntermediates(t *testing.T) {
	root := authority.New(t, now)
	below := root.Intermediate("below")
	text, node := leaf(t, below, "web1")
	rootCert, belowCert := parse(t, root.PEM()), parse(t, below.PEM())
	cas := []*x509.Certificate{rootCert}
	first := NewLists(crls(t, root.CRL(nil), below.CRL(nil)), cas, nil, now)
	links := first.Links([]*x509.Certificate{node, belowCert, rootCert})
	second := NewLists(crls(t, root.CRL(nil), below.CRL(nil, text)), cas, first, now)
	if first.Revoked(links) || !second.Revoked(links) {
		t.Errorf("revoked before %v, after %v", first.Revoked(links), second.Revoked(links))
	}
}

func TestParseCRLs_RefusesWhatCoversOtherThanOneCA(t *testing.T) {
	ca := authority.New(t, now)
	extension := func(id asn1.ObjectIdentifier, value any, critical bool) pkix.Extension {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: id, Critical: critical, Value: der}
	}
	with := func(extensions ...pkix.Extension) string {
		return ca.CRL(func(c *x509.RevocationList) { c.ExtraExtensions = extensions })
	}
	entry := func(e pkix.Extension) string {
		return ca.CRL(func(c *x509.RevocationList) {
			c.RevokedCertificateEntries = []x509.RevocationListEntry{{
				SerialNumber: big.NewInt(7), RevocationTime: now, ExtraExtensions: []pkix.Extension{e},
			}}
		})
	}
	unknown := asn1.ObjectIdentifier{1, 2, 3}
	good := ca.CRL(nil)
	type dots struct {
		Point struct {
			Full []asn1.RawValue `asn1:"tag:0"`
		} `asn1:"optional,tag:0"`
	}
	for name, test := range map[string]struct{ text, want string }{
		"one":               {good, ""},
		"two":               {good + good, ""},
		"with comments":     {"Puppet\n" + good + "end\n", ""},
		"not critical":      {with(extension(unknown, 1, false)), ""},
		"a point":           {with(extension(scope, dots{}, true)), ""},
		"delta":             {with(extension(deltaIndicator, 1, true)), "a delta CRL"},
		"indirect":          {with(extension(scope, issuingScope{Indirect: true}, true)), "an indirect CRL"},
		"of users":          {with(extension(scope, issuingScope{OnlyUsers: true}, true)), "covers only a part"},
		"of CAs":            {with(extension(scope, issuingScope{OnlyCAs: true}, true)), "covers only a part"},
		"unreadable scope":  {with(extension(scope, 1, true)), "cannot be read"},
		"critical":          {with(extension(unknown, 1, true)), "critical extension 1.2.3"},
		"of another CA":     {entry(extension(otherIssuer, 1, true)), "an indirect CRL"},
		"critical entry":    {entry(extension(unknown, 1, true)), "critical extension 1.2.3 of an entry"},
		"a certificate":     {ca.PEM(), `holds "CERTIFICATE"`},
		"empty":             {"", "is not PEM"},
		"half of one":       {good[:len(good)/2], "incomplete"},
		"one and a half":    {good + good[:len(good)/2], "after 1 CRLs there is PEM that is incomplete"},
		"not a CRL":         {"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "CRL 1: "},
		"of no known order": {strings.Replace(good, "\n", "\n\n", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCRLs([]byte(test.text))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want %q", err, test.want)
			}
		})
	}
}

// TestLists_OfOneNameAndTwoKeys has two CAs with the same name: each has its own CRL.
func TestLists_OfOneNameAndTwoKeys(t *testing.T) {
	first, second := authority.New(t, now), authority.New(t, now)
	firstCert, secondCert := parse(t, first.PEM()), parse(t, second.PEM())
	text, node := leaf(t, first, "web1")
	l := NewLists(crls(t, second.CRL(nil), first.CRL(nil, text)), []*x509.Certificate{secondCert, firstCert}, nil, now)
	if !revoked(l, node, firstCert) || revoked(l, node, secondCert) || len(l.Warnings(now)) > 0 {
		t.Errorf("%v", l.Warnings(now))
	}
}
