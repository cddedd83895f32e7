// Package revocation reads what says that a certificate or token does not count any more:
// certificate revocation lists (CRLs), and lists of revoked tokens. It reads no files and verifies no
// certificates.
package revocation

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// MaxBytes is how long the files of all CRLs may be together, and a list of revoked tokens.
const MaxBytes = 16 << 20

// Extensions of a CRL that change what it covers. See RFC 5280, section 5.2.
var (
	deltaIndicator = asn1.ObjectIdentifier{2, 5, 29, 27}
	scope          = asn1.ObjectIdentifier{2, 5, 29, 28} // issuing distribution point
	otherIssuer    = asn1.ObjectIdentifier{2, 5, 29, 29} // of an entry: the CA of the certificate
)

// issuingScope is the value of the extension scope. Each field except Name restricts the CRL to a
// part of the CA's certificates, or extends it to those of others.
type issuingScope struct {
	Name           asn1.RawValue  `asn1:"optional,tag:0"`
	OnlyUsers      bool           `asn1:"optional,tag:1"`
	OnlyCAs        bool           `asn1:"optional,tag:2"`
	OnlyReasons    asn1.BitString `asn1:"optional,tag:3"`
	Indirect       bool           `asn1:"optional,tag:4"`
	OnlyAttributes bool           `asn1:"optional,tag:5"`
}

// ParseCRLs returns the CRLs in a PEM text, of which there is at least one. It does not verify their
// signatures. It refuses CRLs that do not cover all certificates of one CA: delta CRLs, indirect ones,
// and those of a part.
func ParseCRLs(text []byte) ([]*x509.RevocationList, error) {
	var all []*x509.RevocationList
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf(`holds %q, expected "X509 CRL"`, block.Type)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CRL %d: %s", len(all)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		if err := checkScope(list); err != nil {
			return nil, fmt.Errorf("CRL %d, of %s: %w", len(all)+1, list.Issuer, err)
		}
		all = append(all, list)
	}
	switch {
	case strings.Contains(string(text), "-----BEGIN"):
		return nil, fmt.Errorf("after %d CRLs there is PEM that is incomplete", len(all))
	case len(all) == 0:
		return nil, errors.New("is not PEM")
	}
	return all, nil
}

// checkScope returns an error unless the CRL covers all certificates of its CA, and no others.
func checkScope(list *x509.RevocationList) error {
	for _, extension := range list.Extensions {
		switch {
		case extension.Id.Equal(deltaIndicator):
			return errors.New("a delta CRL; give complete CRLs only")
		case extension.Id.Equal(scope):
			if err := checkIssuingScope(extension.Value); err != nil {
				return err
			}
		case extension.Critical:
			return fmt.Errorf("its critical extension %s is not supported", extension.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if extension.Id.Equal(otherIssuer) {
				return errors.New("an indirect CRL: it lists certificates of other CAs; give each CA's own CRL")
			}
			if extension.Critical {
				return fmt.Errorf("the critical extension %s of an entry is not supported", extension.Id)
			}
		}
	}
	return nil
}

func checkIssuingScope(value []byte) error {
	var s issuingScope
	if rest, err := asn1.Unmarshal(value, &s); err != nil || len(rest) > 0 {
		return errors.New("its issuing distribution point cannot be read")
	}
	switch {
	case s.Indirect:
		return errors.New("an indirect CRL: it lists certificates of other CAs; give each CA's own CRL")
	case s.OnlyUsers, s.OnlyCAs, s.OnlyAttributes, s.OnlyReasons.BitLength > 0:
		return errors.New("covers only a part of the CA's certificates; give a CRL for all of them")
	}
	return nil
}
