package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats-server/v2/server"
)

// Intake names subjects that a component reads together with the connection that published each
// message. It is an account of its own, which imports the subjects from the account of the nodes as
// services: the server then adds the header Nats-Request-Info, which a publisher cannot choose (see
// inproc.Peer). Each component has its own Intake, so the subjects of two may overlap.
type Intake struct {
	Name     string   // unique; A-Z, a-z, 0-9, _ and -
	Subjects []string // that do not overlap
	Replies  bool     // the component replies, within answerExpiry
}

// How long the server remembers the reply subject of a message to an intake. Each entry takes memory, so the
// time is short if the component does not reply.
const (
	replyExpiry  = 10 * time.Millisecond
	answerExpiry = 10 * time.Second
)

// intakeAccount returns the name of the account of an intake.
func intakeAccount(intake string) string { return "muster-" + intake }

// accounts returns the accounts of the server.
func (b *Broker) accounts() ([]*server.Account, error) {
	nodes, errNodes := newAccount(account)
	system, errSystem := newAccount(systemAccount)
	if err := errors.Join(errNodes, errSystem); err != nil {
		return nil, err
	}
	if err := errors.Join(b.mapRequests(system), b.mapChecked(nodes, system), b.addMappings(nodes)); err != nil {
		return nil, err
	}
	all := []*server.Account{nodes, system}
	if b.cfg.Provisioning.Enabled() {
		provisioning, err := provisioningAccount(nodes)
		if err != nil {
			return nil, err
		}
		all = append(all, provisioning)
	}
	for _, in := range b.opts.Intakes {
		intake := server.NewAccount(intakeAccount(in.Name))
		for _, subject := range in.Subjects {
			expiry := replyExpiry
			if in.Replies {
				expiry = answerExpiry
			}
			if err := importShared(nodes, intake, subject, expiry); err != nil {
				return nil, fmt.Errorf("import %s into the account of %s: %w", subject, in.Name, err)
			}
		}
		all = append(all, intake)
	}
	links, err := b.leafAccounts(nodes)
	return append(all, links...), err
}

// importShared makes what is published to the subject in the account of the nodes arrive in the
// account to, too, with the header Nats-Request-Info. The server remembers reply subjects for the expiry.
func importShared(nodes, to *server.Account, subject string, expiry time.Duration) error {
	if err := to.AddServiceExport(subject, []*server.Account{nodes}); err != nil {
		return err
	}
	if err := to.SetServiceExportResponseThreshold(subject, expiry); err != nil {
		return err
	}
	if err := nodes.AddServiceImport(to, subject, subject); err != nil {
		return err
	}
	return nodes.SetServiceImportSharing(to, subject, true)
}

// intakeSecrets returns a new secret for each intake, by its account.
func intakeSecrets(intakes []Intake) map[string]string {
	secrets := map[string]string{}
	for _, in := range intakes {
		secrets[intakeAccount(in.Name)] = rand.Text()
	}
	return secrets
}

// DialIntake opens an internal connection that receives what nodes and clients publish to the
// subjects, which must be among those of the intake. Each message has its Peer. It does not
// reconnect.
func (b *Broker) DialIntake(intake, name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	secret, known := b.auth.intakeSecrets[intakeAccount(intake)]
	if !known {
		return nil, fmt.Errorf("connect %s to the broker: there is no intake %q", name, intake)
	}
	return b.dial(name, secret, subjects, receiver)
}

// isIntake reports whether the connection is one that DialIntake opened.
func isIntake(a *authenticator, c *connectionAttempt) bool { return a.intakeOf(c) != "" }

func admitIntake(a *authenticator, c *connectionAttempt) (admission, error) {
	return admission{account: a.intakeOf(c), user: "muster", role: RoleInternal}, nil
}

// intakeOf returns the account of the intake whose secret the connection presents; empty: none.
func (a *authenticator) intakeOf(c *connectionAttempt) string {
	for account, secret := range a.intakeSecrets {
		if equalSecret(c.token, secret) {
			return account
		}
	}
	return ""
}
