package broker

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/revocation"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// revocationInterval is the minimum time between two log lines of one warning about a CRL.
const revocationInterval = 24 * time.Hour

// revocations are the CRLs and the list of revoked tokens that are in force. It keeps the last ones
// that could be used. It has no goroutine; its owner calls refresh and takes care that no two calls
// overlap.
type revocations struct {
	log      hclog.Logger
	crlFiles source
	lists    *revocation.Lists // nil: no CRL is configured
	record   *crlRecord
	tokens   revokedTokens
	warned   *throttle.Throttle
}

// source is files that are read again when they have changed.
type source struct {
	paths       []string
	fingerprint string // when they were last read successfully
	lastError   error  // of reading them since then
}

// openRevocations reads the files for the first time, and the record of CRLs, which may be "". The error is a
// config.Problems.
func openRevocations(
	cfg *Config, cas []*x509.Certificate, record string, now time.Time, log hclog.Logger,
) (*revocations, error) {
	r := &revocations{
		log: log, crlFiles: source{paths: cfg.TLS.CRL}, record: openCRLRecord(record, log),
		tokens: revokedTokens{log: log}, warned: throttle.New(revocationInterval),
	}
	if cfg.RevokedTokens != "" {
		r.tokens.paths = []string{cfg.RevokedTokens}
	}
	if err := r.readLists(cas, now); err != nil {
		return nil, config.Problems{{Key: "broker.tls.crl", Text: err.Error()}}
	}
	if err := r.tokens.read(now); err != nil {
		return nil, config.Problems{{Key: "broker.revoked_tokens", Text: err.Error()}}
	}
	return r, nil
}

// refresh reads the files again that have changed; new CAs mean that other CRLs may be signed by them.
// It reports whether lists or tokens are new, and logs what cannot be used once for each cause.
func (r *revocations) refresh(cas []*x509.Certificate, newCAs bool, now time.Time) (changed bool) {
	if newCAs || r.crlFiles.changed() {
		switch err, before := r.readLists(cas, now), r.crlFiles.lastError; {
		case err == nil:
			changed = true
			r.log.Info("certificate revocation lists reloaded")
		case before == nil || before.Error() != err.Error():
			r.log.Error("certificate revocation lists not reloaded, the previous ones stay in force", "error", err)
			r.crlFiles.lastError = err
		}
		if r.crlFiles.lastError != nil && newCAs {
			r.lists, changed = revocation.NewLists(nil, cas, r.lists, now), true
		}
	}
	changed = r.tokens.refresh(now) || changed
	r.record.keep(r.lists)
	r.logWarnings(now)
	return changed
}

// listWarnings returns a sentence for each CRL that is not as it should be.
func (r *revocations) listWarnings(now time.Time) []string {
	return append(r.lists.Warnings(now), r.lists.OlderThan(r.record.marks)...)
}

// logWarnings logs each warning about the CRLs once a day.
func (r *revocations) logWarnings(now time.Time) {
	for _, warning := range r.listWarnings(now) {
		if _, log := r.warned.Add(warning, 1, now); log {
			r.log.Warn("certificate revocation list needs attention", "warning", warning)
		}
	}
}

// warnings returns a sentence for each CRL or file that is not as it should be.
func (r *revocations) warnings(now time.Time) []string {
	warnings := r.listWarnings(now)
	for _, s := range []*source{&r.crlFiles, &r.tokens.source} {
		if s.lastError != nil {
			warnings = append(warnings, s.lastError.Error()+"; what was read before stays in force")
		}
	}
	return warnings
}

// changed reports whether the files have changed since they were last read successfully.
func (s *source) changed() bool {
	return len(s.paths) > 0 && tlsfile.Fingerprint(s.paths...) != s.fingerprint
}

func (r *revocations) readLists(cas []*x509.Certificate, now time.Time) error {
	if len(r.crlFiles.paths) == 0 {
		return nil
	}
	fingerprint := tlsfile.Fingerprint(r.crlFiles.paths...)
	var crls []*x509.RevocationList
	room := int64(revocation.MaxBytes)
	for _, path := range r.crlFiles.paths {
		text, err := readUpTo(path, room)
		if err != nil {
			return err
		}
		room -= int64(len(text))
		parsed, err := revocation.ParseCRLs(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		crls = append(crls, parsed...)
	}
	r.lists = revocation.NewLists(crls, cas, r.lists, now)
	r.crlFiles.fingerprint, r.crlFiles.lastError = fingerprint, nil
	return nil
}

// readUpTo returns the content of a file, or an error if it has more bytes than the limit.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s: is too long; all files together may have %d bytes", path, revocation.MaxBytes)
	}
	return text, nil
}

// CheckRevocations reads the files that the configuration names and the record of CRLs, as Open does, and
// returns what it would warn of. The CA must be readable. The error is a config.Problems without a file.
func (c *Config) CheckRevocations(record string, now time.Time) (warnings []string, err error) {
	state, err := tlsfile.Files{CA: c.TLS.CA}.Load()
	if err != nil {
		return nil, config.Problems{{Key: "broker.tls", Text: err.Error()}}
	}
	r, err := openRevocations(c, state.CAs, record, now, hclog.NewNullLogger())
	if err != nil {
		return nil, err
	}
	return r.warnings(now), nil
}

// RevocationWarnings returns a sentence for each CRL that is not as it should be, for each CA without
// one, and for each file that could not be read again.
func (b *Broker) RevocationWarnings() []string {
	b.trustMu.Lock()
	defer b.trustMu.Unlock()
	if b.revocations == nil {
		return nil
	}
	return slices.Clone(b.revocations.warnings(b.opts.Now()))
}
