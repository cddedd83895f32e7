package enroll

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/internal/pki"
)

// RotatesCA reports whether the old CA counts beside the new one.
func (s *Site) RotatesCA() bool { return s.rotation.oldCA != nil && s.rotation.nextCA == nil }

// RotateCA makes a new CA, which issues certificates from now on. The old one counts until FinishCA.
// The broker's certificate is of the new CA, and comes with one of the new CA that the old one has
// signed, so that nodes accept it which trust either. If RotateCA was interrupted before, it goes on.
func (s *Site) RotateCA(now time.Time) error { return s.rotateCA(now, allSteps) }

func (s *Site) rotateCA(now time.Time, limit int) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if s.RotatesCA() {
		return errors.New("the CA is being rotated already; finish that with --finish")
	}
	old, next := s.rotation.oldCA, s.rotation.nextCA
	if old == nil {
		old = s.authority
	}
	if next == nil {
		from, till := now.Add(-time.Hour), now.AddDate(authorityYears, 0, 0)
		if next, err = pki.NewAuthority(nextName(old.CA().Subject.CommonName), from, till); err != nil {
			return err
		}
	}
	made, err := s.filesOfBoth(old, next, now)
	if err != nil {
		return err
	}
	if err := run(append(s.writing(made), func() error { return s.remove(fileCANext) }), limit); err != nil {
		return err
	}
	s.authority, s.rotation.oldCA, s.rotation.nextCA = next, old, nil
	return nil
}

// filesOfBoth returns the files with two CAs, in the order in which they are written: the key of the
// new one last, so that it issues nothing before everything else accepts that.
func (s *Site) filesOfBoth(old, next *pki.Authority, now time.Time) (files, error) {
	oldKey, err := old.KeyPEM()
	if err != nil {
		return nil, err
	}
	nextKey, err := next.KeyPEM()
	if err != nil {
		return nil, err
	}
	made := files{
		{name: fileCANext, text: nextKey + next.PEM(), mode: secret},
		{name: fileCAOld, text: oldKey + old.PEM(), mode: secret},
	}
	crls, err := s.crlFiles(now, next, old)
	if err != nil {
		return nil, err
	}
	made = append(append(made, crls...), file{name: fileCA, text: next.PEM() + old.PEM(), mode: public})
	certificate, err := s.brokerCertificate(old, next, now)
	if err != nil {
		return nil, err
	}
	return append(made,
		file{name: fileCert, text: certificate, mode: public},
		file{name: fileCAKey, text: nextKey, mode: secret}), nil
}

// brokerCertificate returns the broker's certificate anew, of the new CA, with the names and the key
// that it has, and the certificate by which the old CA vouches for the new one.
func (s *Site) brokerCertificate(old, next *pki.Authority, now time.Time) (string, error) {
	present, err := readCertificate(filepath.Join(s.Dir, fileCert))
	if err != nil {
		return "", err
	}
	if present.CheckSignatureFrom(old.CA()) != nil && present.CheckSignatureFrom(next.CA()) != nil {
		return "", fmt.Errorf("%s is not a certificate of the CA here", filepath.Join(s.Dir, fileCert))
	}
	template := leaf(present.Subject.CommonName, x509.ExtKeyUsageServerAuth, now)
	template.DNSNames, template.IPAddresses = present.DNSNames, present.IPAddresses
	own, err := next.Issue(template, present.PublicKey)
	if err != nil {
		return "", err
	}
	cross, err := old.CrossSign(next)
	return own + cross, err
}

// FinishCA makes the old CA count no more. Without force it returns an error if a node in the site's
// directory needs the old CA.
func (s *Site) FinishCA(force bool, now time.Time) error { return s.finishCA(force, now, allSteps) }

func (s *Site) finishCA(force bool, now time.Time, limit int) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkInterrupted(); err != nil {
		return err
	}
	if s.rotation.oldCA == nil {
		return fmt.Errorf("the CA is not being rotated; begin with \"muster rotate --dir %s\"", s.Dir)
	}
	if nodes := s.NeedOldCA(); len(nodes) > 0 && !force {
		return &UnfinishedError{nodes, s.IssuesTokens()}
	}
	made, err := s.filesOfNew(now)
	if err != nil {
		return err
	}
	if err := run(append(s.writing(made), func() error { return s.remove(fileCAOld) }), limit); err != nil {
		return err
	}
	s.rotation.oldCA = nil
	return nil
}

// filesOfNew returns the files without the old CA, in the order in which they are written.
func (s *Site) filesOfNew(now time.Time) (files, error) {
	certificate, err := os.ReadFile(filepath.Join(s.Dir, fileCert))
	if err != nil {
		return nil, err
	}
	own, _ := pem.Decode(certificate)
	if own == nil {
		return nil, fmt.Errorf("%s: is not PEM", filepath.Join(s.Dir, fileCert))
	}
	made := files{
		{name: fileCA, text: s.authority.PEM(), mode: public},
		{name: fileCert, text: string(pem.EncodeToMemory(own)), mode: public},
	}
	crls, err := s.crlFiles(now, s.authority)
	return append(made, crls...), err
}

// crlFiles returns the file with the CRLs of the authorities; none if nodes have tokens.
func (s *Site) crlFiles(now time.Time, authorities ...*pki.Authority) (files, error) {
	if s.IssuesTokens() {
		return nil, nil
	}
	present, err := s.presentCRLs()
	if err != nil {
		return nil, err
	}
	crl, err := crlFile(present, nil, now, authorities...)
	return files{crl}, err
}

// numbered matches a name with a number in parentheses.
var numbered = regexp.MustCompile(`^(.*) \((\d+)\)$`)

// nextName returns the name of the CA after one: "CA", "CA (2)", "CA (3)".
func nextName(name string) string {
	number := 1
	if parts := numbered.FindStringSubmatch(name); parts != nil {
		name = parts[1]
		number, _ = strconv.Atoi(parts[2])
	}
	return fmt.Sprintf("%s (%d)", name, number+1)
}
