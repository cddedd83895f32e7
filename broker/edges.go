package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
)

// An edge connects to an account of its own, in which it is alone. The account imports two services for each of its
// sites: what is published for the site, which arrives at the streams and at the fleet view, and Direct Get of what
// the site has published. Answers come back through the imports. So a reply subject means nothing outside the
// account: nothing that the server or JetStream is made to send arrives in the account of the streams.
//
// What is published goes through forwardedAccount. NATS shows a publisher that traces its message the subject to which
// the first import leads, and the subjects of streams have the write token.

// forwardedAccount is the account between those of the edges and that of the streams. No connection is admitted to it.
const forwardedAccount = "forwarded"

// directGet begins the subject of a request for the last message of a subject, in any stream that allows Direct Get.
const directGet = contract.PrefixAPI + "DIRECT.GET.*."

// minEdgeConnections is how many connections an edge may have at least: it has two, and those that it has given up
// stay open until they do not answer a ping.
const minEdgeConnections = 8

// edges has the sites in force, and the accounts of the edges.
type edges struct {
	sites    Sites
	accounts map[string]string // by the name of the edge; none before OpenEdges
}

// edgeAccount returns the name of the account of an edge with these sites. Imports of an account cannot be removed, so
// an edge with other sites gets another account.
func edgeAccount(name string, sites []string) string {
	hash := sha256.Sum256([]byte(name + " " + strings.Join(sites, " ")))
	return edgeAccountPrefix + hex.EncodeToString(hash[:8])
}

const edgeAccountPrefix = "edge-"

func isEdgeAccount(name string) bool { return strings.HasPrefix(name, edgeAccountPrefix) }

// admitEdge admits the edge with a name that the connection has proven; ok is false if it is not that of an edge.
func (a *authenticator) admitEdge(name string) (as admission, ok bool) {
	current := a.edges.Load()
	account := current.accounts[name]
	if account == "" {
		return admission{}, false
	}
	return admission{
		account: account, user: name, permissions: edgePermissions(current.sites.of(name)), role: RoleEdge,
	}, true
}

// edgePermissions returns what an edge may publish and subscribe to in its account.
func edgePermissions(sites []string) *server.Permissions {
	var s subjects
	for _, site := range sites {
		s.allowPublish(contract.SiteSubject(site, ">"), directGet+contract.SiteSubject(site, ">"))
	}
	s.allowSubscribe(allInboxes)
	return s.permissions()
}

// isUnprovenEdge reports whether a connection in a lab says that it is an edge.
func isUnprovenEdge(a *authenticator, c *connectionAttempt) bool {
	return isLab(a, c) && a.edges.Load().accounts[c.user] != ""
}

func admitUnprovenEdge(a *authenticator, c *connectionAttempt) (admission, error) {
	as, _ := a.admitEdge(c.user)
	return as, nil
}

// Sites returns the sites in force, with the names of their edges. The caller must not change the map.
func (b *Broker) Sites() map[string]string { return b.auth.edges.Load().sites }

// SitesOf returns the sites that a connection which is admitted as an edge with that name forwards for, sorted; none:
// no edge has the name.
func (b *Broker) SitesOf(name string) []string { return b.auth.edges.Load().sites.of(name) }

// OpenEdges lets the edges of [broker.sites] connect. What they publish arrives in the account of the nodes with the
// prefix before its subject: that of private streams. It is called once, after Open.
func (b *Broker) OpenEdges(prefix string) error {
	if len(b.cfg.Sites) == 0 {
		return nil
	}
	nodes, err := b.srv.LookupAccount(account)
	if err != nil {
		return err
	}
	forwarded, err := b.srv.RegisterAccount(forwardedAccount)
	if err != nil {
		return err
	}
	all, get := contract.SubjectSites+">", directGet+contract.SubjectSites+">"
	err = importService(nodes, forwarded, prefix+all, all)
	if err == nil {
		err = exportService(forwarded, all)
	}
	if err == nil {
		err = exportService(nodes, get)
	}
	if err == nil {
		err = b.applySites(b.cfg.Sites)
	}
	if err != nil {
		return fmt.Errorf("import what edges publish: %w", err)
	}
	return nil
}

// exportService lets other accounts import a subject of an account as a service.
func exportService(from *server.Account, subject string) error {
	if err := from.AddServiceExport(subject, nil); err != nil {
		return err
	}
	return from.SetServiceExportResponseThreshold(subject, answerExpiry)
}

// importService exports the subject from an account, and makes what is published to another subject in the account
// to arrive there.
func importService(from, to *server.Account, subject, published string) error {
	if err := exportService(from, subject); err != nil {
		return err
	}
	return to.AddServiceImport(from, published, subject)
}

// applySites puts other sites in force. It does not end connections.
func (b *Broker) applySites(sites Sites) error {
	next := &edges{sites: sites, accounts: map[string]string{}}
	for _, name := range sites.names() {
		account := edgeAccount(name, sites.of(name))
		if err := b.openEdgeAccount(account, sites.of(name)); err != nil {
			return fmt.Errorf("account of the edge %s: %w", name, err)
		}
		next.accounts[name] = account
	}
	b.auth.edges.Store(next)
	return nil
}

// openEdgeAccount makes the account of an edge with these sites, unless there is one.
func (b *Broker) openEdgeAccount(name string, sites []string) error {
	edge, err := b.srv.RegisterAccount(name)
	if errors.Is(err, server.ErrAccountExists) {
		return nil
	}
	if err != nil {
		return err
	}
	nodes, err := b.srv.LookupAccount(account)
	if err != nil {
		return err
	}
	forwarded, err := b.srv.LookupAccount(forwardedAccount)
	if err != nil {
		return err
	}
	for _, site := range sites {
		published := contract.SiteSubject(site, ">")
		err := edge.AddServiceImport(forwarded, published, published)
		if err == nil {
			err = edge.AddServiceImport(nodes, directGet+published, directGet+published)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
