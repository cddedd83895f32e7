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

// UnfinishedError says that nodes need what the end of a rotation takes away.
type UnfinishedError struct {
	Nodes   []string
	NeedsCA bool // the nodes have tokens, and need only the new CA's certificate
}

// Error names the first nodes.
func (e *UnfinishedError) Error() string {
	const most = 10
	named := e.Nodes[:min(len(e.Nodes), most)]
	if e.NeedsCA {
		return fmt.Sprintf("%d nodes have no ca.pem with the new CA, among them %v; copy ca.pem to them, and over "+
			"nodes/NODE/ca.pem beside it, or finish with --force if they may lose their access", len(e.Nodes), named)
	}
	return fmt.Sprintf("%d nodes have not been enrolled again, among them %v; enroll them, or finish with --force "+
		"if they may lose their access", len(e.Nodes), named)
}

// NodesOfOldCA returns the nodes in the site's directory that have a certificate of the old CA, or a ca.pem
// without the new one. Nodes that are revoked, or have a certificate of another CA, have no access anyway.
func (s *Site) NodesOfOldCA() []string {
	if s.rotation.oldCA == nil {
		return nil
	}
	return s.nodesWith(func(dir string) bool {
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

// lacksCA reports whether the ca.pem of a node has not the certificate of the CA in use. A node without the
// file may have it.
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

// NodesOfOldIssuer returns the nodes in the site's directory that have a token of the old issuer and are
// not revoked.
func (s *Site) NodesOfOldIssuer() []string {
	return s.nodesWith(func(dir string) bool {
		token, err := readToken(dir)
		return err == nil && choria.TokenOrganization(token) == s.rotation.oldIssuer.name
	})
}

func readToken(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, fileToken))
	return strings.TrimSpace(string(text)), err
}

// nodesWith returns the nodes in the site's directory that are not revoked and for whose directories the
// condition holds.
func (s *Site) nodesWith(condition func(dir string) bool) []string {
	entries, err := os.ReadDir(filepath.Join(s.Dir, nodesDir))
	if err != nil {
		return nil
	}
	revoked := s.revokedNodes()
	var nodes []string
	for _, e := range entries {
		if condition(filepath.Join(s.Dir, nodesDir, e.Name())) && !revoked(e.Name()) {
			nodes = append(nodes, e.Name())
		}
	}
	return nodes
}

// revokedNodes returns a function that reports whether a node is revoked. None is if the lists cannot be read.
func (s *Site) revokedNodes() func(node string) bool {
	if s.IssuesTokens() {
		var list *revocation.Tokens
		if text, err := os.ReadFile(s.RevokedTokens()); err == nil {
			list, _ = revocation.ParseTokens(string(text)) // nil if it is not valid
		}
		return func(node string) bool {
			token, err := readToken(filepath.Join(s.Dir, nodesDir, node))
			return err == nil && choria.TokenRevoked(token, list)
		}
	}
	listed := s.revokedSerials()
	return func(node string) bool { return s.certificatesRevoked(node, listed) }
}

// certificatesRevoked reports whether the serial numbers of all certificates of a node that are known here
// are listed.
func (s *Site) certificatesRevoked(node string, listed map[string]bool) bool {
	c, err := readCertificate(filepath.Join(s.Dir, nodesDir, node, fileCert))
	if err != nil || !listed[c.SerialNumber.String()] { // most nodes: the list of issued certificates is long
		return false
	}
	serials, err := s.knownSerials(node)
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
