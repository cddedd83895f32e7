package revocation

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// Kinds of entries in a list of revoked tokens.
const (
	kindIdentity = "identity"
	kindToken    = "token"
	kindIssuer   = "issuer"
)

// Tokens is a list of revoked tokens. A nil *Tokens revokes nothing. It does not change.
type Tokens struct {
	identities map[string]time.Time // tokens issued before the time; the zero time: all
	ids        map[string]bool
	issuers    map[string]bool
}

// ParseTokens reads a list of revoked tokens. Each line has a kind and a value:
//
//	identity NAME [TIME]  all tokens of a node or caller id, or those issued before the time (RFC 3339)
//	token ID              the token with that id ("jti"), and what a Chain Issuer with that token has issued
//	issuer NAME           all tokens of an organization, or of a Chain Issuer, by its id or public key
//
// Blank lines, and what follows a # at the beginning of a word, are ignored. The error has the number of
// the line.
func ParseTokens(text string) (*Tokens, error) {
	t := &Tokens{identities: map[string]time.Time{}, ids: map[string]bool{}, issuers: map[string]bool{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := t.add(fieldsOf(line)); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return t, nil
}

// fieldsOf returns the words of a line before a comment.
func fieldsOf(line string) []string {
	fields := strings.Fields(line)
	for i, field := range fields {
		if strings.HasPrefix(field, "#") {
			return fields[:i]
		}
	}
	return fields
}

func (t *Tokens) add(fields []string) error {
	if len(fields) == 0 {
		return nil
	}
	kind := fields[0]
	if kind != kindIdentity && kind != kindToken && kind != kindIssuer {
		return fmt.Errorf("expected identity, token or issuer, found %.64q", kind)
	}
	most := 2
	if kind == kindIdentity {
		most = 3
	}
	if len(fields) < 2 || len(fields) > most {
		return fmt.Errorf("expected %s and one value, found %d words", kind, len(fields))
	}
	value := fields[1]
	switch kind {
	case kindToken:
		t.ids[value] = true
	case kindIssuer:
		t.issuers[value] = true
	default:
		return t.addIdentity(value, fields[2:])
	}
	return nil
}

func (t *Tokens) addIdentity(name string, times []string) error {
	var before time.Time
	if len(times) > 0 {
		var err error
		if before, err = time.Parse(time.RFC3339, times[0]); err != nil || before.IsZero() {
			return fmt.Errorf("%.64q is not a valid time; write it as 2006-01-02T15:04:05Z", times[0])
		}
	}
	if !t.covers(name, before) {
		t.identities[name] = before
	}
	return nil
}

// Identity reports whether the list revokes the tokens of a node or client that were issued at a time;
// the zero time if the token does not name it.
func (t *Tokens) Identity(name string, issued time.Time) bool {
	if t == nil {
		return false
	}
	before, listed := t.identities[name]
	return listed && (before.IsZero() || issued.Before(before))
}

// ID reports whether the list revokes the token with that id.
func (t *Tokens) ID(id string) bool { return t != nil && t.ids[id] }

// Issuer reports whether the list revokes the tokens of an issuer.
func (t *Tokens) Issuer(name string) bool { return t != nil && t.issuers[name] }

// Len returns the number of entries.
func (t *Tokens) Len() int {
	if t == nil {
		return 0
	}
	return len(t.identities) + len(t.ids) + len(t.issuers)
}

// Without returns how many entries of the list revoke tokens that the other list does not revoke.
func (t *Tokens) Without(other *Tokens) (count int) {
	if t == nil {
		return 0
	}
	for name, before := range t.identities {
		if other == nil || !other.covers(name, before) {
			count++
		}
	}
	for id := range t.ids {
		if !other.ID(id) {
			count++
		}
	}
	for name := range t.issuers {
		if !other.Issuer(name) {
			count++
		}
	}
	return count
}

// covers reports whether the list revokes all tokens of a name that were issued before a time; the zero
// time: all tokens.
func (t *Tokens) covers(name string, before time.Time) bool {
	own, listed := t.identities[name]
	return listed && (own.IsZero() || !before.IsZero() && !own.Before(before))
}

// Union returns the list of what either list revokes.
func (t *Tokens) Union(other *Tokens) *Tokens {
	all := &Tokens{identities: map[string]time.Time{}, ids: map[string]bool{}, issuers: map[string]bool{}}
	for _, list := range []*Tokens{t, other} {
		if list == nil {
			continue
		}
		for name, before := range list.identities {
			if !all.covers(name, before) {
				all.identities[name] = before
			}
		}
		maps.Copy(all.ids, list.ids)
		maps.Copy(all.issuers, list.issuers)
	}
	return all
}

// IdentityLine returns the line that revokes the tokens of a name which were issued before a time.
func IdentityLine(name string, before time.Time) string {
	return fmt.Sprintf("%s %s %s\n", kindIdentity, name, before.UTC().Format(time.RFC3339))
}

// TokenLine returns the line that revokes a token.
func TokenLine(id string) string { return fmt.Sprintf("%s %s\n", kindToken, id) }
