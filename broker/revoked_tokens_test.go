package broker

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// tokenFile is a list of revoked tokens, its file, and a clock.
type tokenFile struct {
	*revokedTokens
	t    *testing.T
	now  time.Time
	log  bytes.Buffer
	made int
}

func newTokenFile(t *testing.T, text string) *tokenFile {
	t.Helper()
	f := &tokenFile{t: t, now: time.Unix(2_000_000, 0)}
	path := filepath.Join(t.TempDir(), "revoked.txt")
	log := hclog.New(&hclog.LoggerOptions{Output: &f.log})
	f.revokedTokens = &revokedTokens{source: source{paths: []string{path}}, log: log}
	f.write(text)
	if err := f.read(f.now); err != nil {
		t.Fatal(err)
	}
	return f
}

// write writes the file with a modification time of its own.
func (f *tokenFile) write(text string) {
	f.t.Helper()
	f.made++
	written := time.Unix(int64(1_000_000+f.made), 0)
	if err := os.WriteFile(f.paths[0], []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chtimes(f.paths[0], written, written); err != nil {
		f.t.Fatal(err)
	}
}

// mustRevoke looks at the file some seconds later, and fails the test unless it revokes the tokens with these
// ids, and no others of a to f.
func (f *tokenFile) mustRevoke(later time.Duration, ids string) {
	f.t.Helper()
	f.now = f.now.Add(later)
	f.refresh(f.now)
	have := ""
	for _, id := range strings.Split("abcdef", "") {
		if f.list.ID(id) {
			have += id
		}
	}
	if have != ids {
		f.t.Errorf("revokes %q, want %q", have, ids)
	}
}

func TestRevokedTokens_EntriesDisappearAtTheSecondLook(t *testing.T) {
	const all = "token a\ntoken b\ntoken c\n"
	for name, test := range map[string]struct {
		text, first, second string
	}{
		"empty":             {"", "abc", ""},
		"a comment":         {"# none\n", "abc", ""},
		"cut off":           {"token a\ntok", "abc", "abc"}, // not valid
		"cut off in a name": {"token a\ntoken b\ntoken d", "abc", "abd"},
		"one less":          {"token a\ntoken c\n", "abc", "ac"},
		"another":           {"token a\ntoken d\ntoken c\n", "abcd", "acd"},
		"one more":          {all + "token d", "abcd", "abcd"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTokenFile(t, all)
			f.write(test.text)
			f.mustRevoke(3*time.Second, test.first)
			f.mustRevoke(settleTime/2, test.first) // SIGHUP, at once
			f.mustRevoke(settleTime/2, test.second)
			f.mustRevoke(3*time.Second, test.second)
			gone := strings.Contains(f.log.String(), "[WARN]  revoked tokens reloaded, entries have disappeared")
			if want := test.first != test.second; gone != want {
				t.Errorf("logged %s", &f.log)
			}
			if lines := strings.Count(f.log.String(), "\n"); lines > 2 {
				t.Errorf("%d lines were logged: %s", lines, &f.log)
			}
		})
	}
}

// TestRevokedTokens_CopiedSlowly writes a list piece by piece, and looks at it after each.
func TestRevokedTokens_CopiedSlowly(t *testing.T) {
	const before, after = "token a\ntoken b\n", "token a\ntoken c\ntoken b\n"
	f := newTokenFile(t, before)
	for n := range after {
		f.write(after[:n])
		want := "ab"
		if strings.Contains(after[:n], "c\n") {
			want = "abc"
		}
		f.mustRevoke(3*time.Second, want)
	}
	f.write(after)
	f.mustRevoke(3*time.Second, "abc")
	if f.changed() || f.lacking.text != "" {
		t.Error("the file is looked at again")
	}
	if strings.Contains(f.log.String(), "[WARN]") {
		t.Errorf("logged %s", &f.log)
	}
}

func TestRevokedTokens_WaitsForTheSameFile(t *testing.T) {
	f := newTokenFile(t, "token a\n")
	for _, text := range []string{"", "# none\n", "", "x", ""} { // each is another file, or not valid
		f.write(text)
		f.mustRevoke(3*time.Second, "a")
	}
	f.mustRevoke(3*time.Second, "")
	if want := "do not count any more: entries=1"; !strings.Contains(f.log.String(), want) {
		t.Errorf("the log lacks %q: %s", want, &f.log)
	}
}

// TestRevocations_EmptiedListIsLookedAtTwice empties the list of a broker while web1 is revoked.
func TestRevocations_EmptiedListIsLookedAtTwice(t *testing.T) {
	r := openRevoking(t)
	web1, web2 := r.node("web1"), r.node("web2")
	r.reload(t, r.tokens, "identity web1\n")
	r.mustRefuse(t, "revoked", r.withToken(web1)...)
	r.reload(t, r.tokens, "")
	r.mustRefuse(t, "revoked", r.withToken(web1)...)
	r.reload(t, r.tokens, "identity web2\n") // a new entry counts at once
	r.mustRefuse(t, "revoked", r.withToken(web1)...)
	r.mustRefuse(t, "revoked", r.withToken(web2)...)
	r.ahead.Add(int64(settleTime))
	r.broker.Reload(r.broker.cfg.Roles)
	r.open(t, r.withToken(web1)...)
	r.mustRefuse(t, "revoked", r.withToken(web2)...)
}
