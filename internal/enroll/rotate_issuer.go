package enroll

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// A rotation of the issuer has three stages, because the broker reads [broker.issuers] only when it
// starts: it must trust the new issuer before that one issues the first token.
//
//  1. NextIssuer makes the new issuer. The caller adds it to [broker.issuers], and the broker restarts.
//  2. SwitchIssuer makes it issue the tokens, and nodes are enrolled again.
//  3. FinishIssuer forgets the old one. The caller removes it from [broker.issuers].

// IssuerStage says how far a rotation of the issuer is.
type IssuerStage int

// Stages of a rotation of the issuer.
const (
	IssuerAlone    IssuerStage = iota // no rotation is under way
	IssuerPrepared                    // there is a new issuer, but the old one issues the tokens
	IssuerSwitched                    // the new one issues the tokens, the old one counts too
)

// IssuerStage returns how far a rotation of the issuer is.
func (s *Site) IssuerStage() IssuerStage {
	switch {
	case s.rotation.nextIssuer.name != "":
		return IssuerPrepared
	case s.rotation.oldIssuer.name != "":
		return IssuerSwitched
	default:
		return IssuerAlone
	}
}

// NextIssuer returns the name and the public key of the new issuer. It makes one if there is none yet.
func (s *Site) NextIssuer() (name, key string, err error) {
	unlock, err := s.lock()
	if err != nil {
		return "", "", err
	}
	defer unlock()
	if !s.IssuesTokens() {
		return "", "", errors.New("nodes have certificates here; there is no issuer to rotate")
	}
	if s.IssuerStage() == IssuerSwitched {
		return "", "", errors.New("the issuer is being rotated already; finish that with --finish")
	}
	if s.IssuerStage() == IssuerAlone {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", "", err
		}
		next, seed := issuer{nextIssuerName(s.issuerName), publicHex(private)}, hex.EncodeToString(private.Seed())
		if err := (file{name: fileIssuerNext, text: next.name + " " + seed + "\n", mode: secret}).write(s.Dir); err != nil {
			return "", "", err
		}
		s.rotation.nextIssuer, s.rotation.nextSeed = next, seed
	}
	return s.rotation.nextIssuer.name, s.rotation.nextIssuer.key, nil
}

func publicHex(key ed25519.PrivateKey) string {
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

// nextIssuerName returns the name of the issuer after one: "choria", "choria-2", "choria-3".
func nextIssuerName(name string) string {
	base, text, found := strings.Cut(name, "-")
	number, err := strconv.Atoi(text)
	if !found || err != nil {
		return name + "-2"
	}
	return fmt.Sprintf("%s-%d", base, number+1)
}

// SwitchIssuer makes the new issuer issue the tokens. If it was interrupted before, it goes on.
func (s *Site) SwitchIssuer() error { return s.switchIssuer(allSteps) }

func (s *Site) switchIssuer(limit int) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	next, old := s.rotation.nextIssuer, s.rotation.oldIssuer
	if next.name == "" {
		return errors.New("there is no new issuer")
	}
	if old.name == "" {
		old = issuer{s.issuerName, s.IssuerKey()}
	}
	made := files{
		{name: fileIssuerOld, text: old.name + " " + old.key + "\n", mode: public},
		{name: fileIssuerSeed, text: s.rotation.nextSeed, mode: secret},
		{name: fileIssuerPublic, text: next.key, mode: public},
		{name: fileIssuerName, text: next.name + "\n", mode: public},
	}
	if err := run(append(s.writing(made), func() error { return s.remove(fileIssuerNext) }), limit); err != nil {
		return err
	}
	if s.issuer, err = choria.Seed(s.rotation.nextSeed); err != nil {
		return err
	}
	s.issuerName, s.rotation.oldIssuer, s.rotation.nextIssuer = next.name, old, issuer{}
	return nil
}

// OldIssuer returns the name of the issuer that counts beside the one in use; empty: none.
func (s *Site) OldIssuer() string { return s.rotation.oldIssuer.name }

// CheckFinishIssuer returns an error unless FinishIssuer may be called: without force not if a node in
// the site's directory has a token of the old issuer.
func (s *Site) CheckFinishIssuer(force bool) error {
	if s.IssuerStage() != IssuerSwitched {
		return errors.New("the new issuer does not issue the tokens yet; run \"muster rotate --issuer\" first")
	}
	if nodes := s.NeedOldIssuer(); len(nodes) > 0 && !force {
		return &UnfinishedError{nodes, false}
	}
	return nil
}

// FinishIssuer forgets the old issuer.
func (s *Site) FinishIssuer() error {
	s.rotation.oldIssuer = issuer{}
	return s.remove(fileIssuerOld)
}
