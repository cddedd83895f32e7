package enroll

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/pki"
	"github.com/muster-appliance/muster/internal/revocation"
)

// presentCRLs returns the CRLs of the site; none if it has no file.
func (s *Site) presentCRLs() ([]*x509.RevocationList, error) {
	text, err := os.ReadFile(s.CRL())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	present, err := revocation.ParseCRLs(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore it from a backup", s.CRL(), err)
	}
	return present, nil
}

// crlFile returns the file with a CRL of each authority: what its present one revokes, and the serial
// numbers. Serial numbers are random, so each CRL may have all of them. A CRL is valid as long as its
// authority, because no command runs regularly to renew it.
func crlFile(
	present []*x509.RevocationList, serials []*big.Int, now time.Time, authorities ...*pki.Authority,
) (file, error) {
	var all strings.Builder
	for _, authority := range authorities {
		template := &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: now, NextUpdate: authority.CA().NotAfter,
		}
		for _, crl := range present {
			if crl.CheckSignatureFrom(authority.CA()) == nil && crl.Number != nil && crl.Number.Cmp(template.Number) >= 0 {
				template.Number = new(big.Int).Add(crl.Number, big.NewInt(1))
				template.RevokedCertificateEntries = crl.RevokedCertificateEntries
			}
		}
		for _, serial := range serials {
			listed := func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 }
			if !slices.ContainsFunc(template.RevokedCertificateEntries, listed) {
				template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
					x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now})
			}
		}
		text, err := authority.CRL(template)
		if err != nil {
			return file{}, err
		}
		all.WriteString(text)
	}
	return file{name: fileCRL, text: all.String(), mode: public}, nil
}
