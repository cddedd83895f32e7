package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/pki"
)

// Files of a rotation. Each has all that belongs together, so that it is complete or missing.
const (
	fileCANext     = "ca.next"     // key and certificate of the new CA until it is in use
	fileCAOld      = "ca.old"      // key and certificate of the old CA until the rotation is finished
	fileIssuerNext = "issuer.next" // name and seed of the new issuer until it is in use
	fileIssuerOld  = "issuer.old"  // name and public key of the old issuer until the rotation is finished
	fileIssuerName = "issuer.name" // name of the issuer; none: firstIssuer
)

// rotationFiles are the files of rotations.
var rotationFiles = []string{fileCANext, fileCAOld, fileIssuerNext, fileIssuerOld, fileIssuerName}

// firstIssuer is the name of the issuer that Init makes, as Choria's own default.
const firstIssuer = "choria"

// rotation is what is old and what is new while a site replaces its CA or its issuer.
type rotation struct {
	oldCA, nextCA         *pki.Authority // nil: none
	oldIssuer, nextIssuer issuer         // empty: none
	nextSeed              string         // of nextIssuer, hex
}

// issuer is an organization issuer: its name, and its public key in hex.
type issuer struct{ name, key string }

// readRotation reads the files of a rotation.
func (s *Site) readRotation() (err error) {
	if s.rotation.oldCA, err = s.readPair(fileCAOld); err != nil {
		return err
	}
	if s.rotation.nextCA, err = s.readPair(fileCANext); err != nil {
		return err
	}
	name, err := s.readWords(fileIssuerName, 1)
	if err != nil {
		return err
	}
	if name != nil {
		s.issuerName = name[0]
	}
	old, err := s.readWords(fileIssuerOld, 2)
	if err != nil {
		return err
	}
	if old != nil {
		s.rotation.oldIssuer = issuer{old[0], old[1]}
	}
	next, err := s.readWords(fileIssuerNext, 2)
	if err != nil || next == nil {
		return err
	}
	seed, err := choria.Seed(next[1])
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(s.Dir, fileIssuerNext), err)
	}
	s.rotation.nextIssuer, s.rotation.nextSeed = issuer{next[0], publicHex(seed)}, next[1]
	return nil
}

// readPair reads an authority, key and certificate, from one file; nil if there is none.
func (s *Site) readPair(name string) (*pki.Authority, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // most sites have none
	}
	if err != nil {
		return nil, err
	}
	authority, err := pki.ReadAuthority(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.Dir, name), err)
	}
	return authority, nil
}

// readWords returns the words of a file; nil if there is none.
func (s *Site) readWords(name string, count int) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(text))
	if len(words) != count {
		return nil, fmt.Errorf("%s: expected %d words, found %d", filepath.Join(s.Dir, name), count, len(words))
	}
	return words, nil
}

// checkInterrupted returns an error if a rotation was interrupted while it changed files.
func (s *Site) checkInterrupted() error {
	r := s.rotation
	switch {
	case r.nextCA != nil:
		return fmt.Errorf("a rotation of the CA was interrupted; run \"muster rotate --dir %s\" again", s.Dir)
	case r.nextIssuer.name != "" && r.oldIssuer.name != "":
		return fmt.Errorf("a rotation of the issuer was interrupted; run \"muster rotate --issuer --dir %s\" again", s.Dir)
	}
	return nil
}

// authorities returns the CAs that count: the one in use and, during a rotation, the old one.
func (s *Site) authorities() []*pki.Authority {
	if s.rotation.oldCA == nil {
		return []*pki.Authority{s.authority}
	}
	return []*pki.Authority{s.authority, s.rotation.oldCA}
}

// bundle returns the certificates of the CAs that count.
func (s *Site) bundle() string {
	var all strings.Builder
	for _, authority := range s.authorities() {
		all.WriteString(authority.PEM())
	}
	return all.String()
}

// issuers returns the issuers that count: the one in use and, during a rotation, the other one.
func (s *Site) issuers() []issuer {
	all := []issuer{{s.issuerName, s.IssuerKey()}}
	for _, other := range []issuer{s.rotation.nextIssuer, s.rotation.oldIssuer} {
		if other.name != "" {
			all = append(all, other)
		}
	}
	return all
}

// step is one change of a rotation. A rotation that was interrupted after any of its steps can be run
// again.
type step func() error

// writing returns steps that write the files.
func (s *Site) writing(made files) []step {
	steps := make([]step, len(made))
	for i, f := range made {
		steps[i] = func() error { return f.write(s.Dir) }
	}
	return steps
}

// run makes the first steps, as many as the limit says.
func run(steps []step, limit int) error {
	for i, next := range steps {
		if i == limit {
			return errInterrupted
		}
		if err := next(); err != nil {
			return err
		}
	}
	return nil
}

// allSteps makes run take every step.
const allSteps = -1

// errInterrupted is returned at the limit of a run, which only tests set.
var errInterrupted = errors.New("interrupted")
