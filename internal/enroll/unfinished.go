package enroll

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/revocation"
)

// UnfinishedError says that nodes or clients need what the end of a rotation takes away.
type UnfinishedError struct {
	Names   []string
	NeedsCA bool // they have tokens, and need only the new CA's certificate
}

// Error names the first nodes and clients.
func (e *UnfinishedError) Error() string {
	const most = 10
	named := e.Names[:min(len(e.Names), most)]
	if e.NeedsCA {
		return fmt.Sprintf("%d nodes or clients have no ca.pem with the new CA, among them %v; copy ca.pem to them, "+
			"and over their ca.pem in nodes/ or clients/, or finish with --force if they may lose their access",
			len(e.Names), named)
	}
	return fmt.Sprintf("%d nodes or clients have not been enrolled again, among them %v; enroll them, "+
		"or finish with --force if they may lose their access", len(e.Names), named)
}

// NeedOldCA returns the nodes and clients in the site's directory that have a certificate of the old CA, or a
// ca.pem without the new one. Those that are revoked, or have a certificate of another CA, have no access anyway.
func (s *Site) NeedOldCA() []string {
	if s.rotation.oldCA == nil {
		return nil
	}
	return s.enrolledWith(func(dir string) bool {
		c, err := readCertificate(filepath.Join(dir, fileCert))
		switch {
		case err != nil:
			return s.lacksCA(dir)
		case c.CheckSignatureFrom(s.rotation.oldCA.CA()) == nil:
			return true
		}
		return c.CheckSignatureFrom(s.authority.CA()) == nil && s.lacksCA(dir)
	})
}

// lacksCA reports whether the ca.pem in a directory has not the certificate of the CA in use. A node without
// the file there may have it.
func (s *Site) lacksCA(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, fileCA))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if slices.Equal(block.Bytes, s.authority.CA().Raw) {
			return false
		}
	}
	return true
}

// NeedOldIssuer returns the nodes and clients in the site's directory that have a token of the old issuer and
// are not revoked.
func (s *Site) NeedOldIssuer() []string {
	return s.enrolledWith(func(dir string) bool {
		token, err := readToken(dir)
		return err == nil && choria.TokenOrganization(token) == s.rotation.oldIssuer.name
	})
}

// readToken returns the token of a node or client in its directory.
func readToken(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, fileToken))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(dir, fileClientToken))
	}
	return strings.TrimSpace(string(text)), err
}

// enrolledWith returns the nodes and clients in the site's directory that are not revoked and for whose
// directories the condition holds.
func (s *Site) enrolledWith(condition func(dir string) bool) (names []string) {
	revoked := s.revokedDirs()
	for _, parent := range []string{nodesDir, clientsDir, edgesDir} {
		entries, _ := os.ReadDir(filepath.Join(s.Dir, parent)) // there may be none
		for _, e := range entries {
			if dir := filepath.Join(s.Dir, parent, e.Name()); condition(dir) && !revoked(dir) {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// revokedDirs returns a function that reports whether the node or client with its files in a directory is revoked.
// None is if the lists cannot be read.
func (s *Site) revokedDirs() func(dir string) bool {
	if s.IssuesTokens() {
		var list *revocation.Tokens
		if text, err := os.ReadFile(s.RevokedTokens()); err == nil {
			list, _ = revocation.ParseTokens(string(text)) // nil if it is not valid
		}
		return func(dir string) bool {
			token, err := readToken(dir)
			return err == nil && choria.TokenRevoked(token, list)
		}
	}
	listed := s.revokedSerials()
	return func(dir string) bool { return s.certificatesRevoked(dir, listed) }
}

// certificatesRevoked reports whether the serial numbers of all certificates that are known here of the node or
// client with its files in a directory are listed.
func (s *Site) certificatesRevoked(dir string, listed map[string]bool) bool {
	c, err := readCertificate(filepath.Join(dir, fileCert))
	if err != nil || !listed[c.SerialNumber.String()] { // most of them: the list of issued certificates is long
		return false
	}
	serials, err := s.knownSerials(filepath.Base(dir))
	isValid := func(serial *big.Int) bool { return !listed[serial.String()] }
	return err == nil && !slices.ContainsFunc(serials, isValid)
}

// revokedSerials returns the serial numbers, in decimal, that the CRLs of the site's CAs list: they are
// random, so that one is enough.
func (s *Site) revokedSerials() map[string]bool {
	crls, err := s.presentCRLs()
	if err != nil {
		return nil
	}
	listed := map[string]bool{}
	for _, crl := range crls {
		for _, authority := range s.authorities() {
			if crl.CheckSignatureFrom(authority.CA()) != nil {
				continue
			}
			for _, entry := range crl.RevokedCertificateEntries {
				listed[entry.SerialNumber.String()] = true
			}
		}
	}
	return listed
}
