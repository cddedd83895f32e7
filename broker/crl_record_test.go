package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// recorded is the configuration of a broker with a CRL, and a record of CRLs.
type recorded struct {
	t      *testing.T
	cfg    Config
	record string
	log    strings.Builder
}

// open opens a broker with a CRL, and closes it. It returns what was logged, and the warnings of a check
// after that.
func (r *recorded) open(crl string) (log string, warnings []string) {
	r.t.Helper()
	if err := os.WriteFile(r.cfg.TLS.CRL[0], []byte(crl), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.log.Reset()
	o := testOptions(r.t)
	o.CRLRecord, o.Log = r.record, hclog.New(&hclog.LoggerOptions{Output: &r.log})
	b := newBroker(r.t, r.cfg, o)
	if err := b.openTrust(); err != nil {
		r.t.Fatal(err)
	}
	warnings, err := r.cfg.CheckRevocations(r.record, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return r.log.String(), warnings
}

func TestCRLRecord_WarnsOfAnOlderCRLAfterARestart(t *testing.T) {
	dir, ca := t.TempDir(), authority.New(t, time.Now())
	ca.Files(dir, nil, "broker.test")
	r := &recorded{t: t, cfg: DefaultConfig(), record: filepath.Join(dir, "crls.json")}
	r.cfg.TLS = filesIn(dir)
	r.cfg.TLS.CRL = []string{filepath.Join(dir, "crl.pem")}
	old, newest := ca.CRL(nil), ca.CRL(nil)
	const warning = "is older than one that was in force (number 2 of"
	for _, step := range []struct {
		name, crl, record string // record: its content, unless empty
		log               string
	}{
		{"first", newest, "", ""},
		{"an old copy", old, "", warning},
		{"still", old, "", warning},
		{"replaced", newest, "", ""},
		{"a damaged record", old, "{", "record of the revocation lists not read: error=\"" + r.record},
		{"which is written again", old, "", ""},
	} {
		if step.record != "" {
			if err := os.WriteFile(r.record, []byte(step.record), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		log, warnings := r.open(step.crl)
		if (log == "") != (step.log == "") || !strings.Contains(log, step.log) {
			t.Errorf("%s: logged %s", step.name, log)
		}
		if want := step.log == warning; (len(warnings) == 1) != want {
			t.Errorf("%s: warnings %v", step.name, warnings)
		}
	}
	r.record = filepath.Join(dir, "missing", "crls.json")
	if log, _ := r.open(newest); !strings.Contains(log, "record of the revocation lists not written") {
		t.Errorf("logged %s", log)
	}
	r.record = ""
	if log, warnings := r.open(old); log != "" || len(warnings) > 0 {
		t.Errorf("without a record: %s %v", log, warnings)
	}
}
