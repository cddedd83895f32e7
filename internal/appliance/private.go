package appliance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/privatestream"
	"github.com/muster-appliance/muster/internal/subject"
)

// privateOutputs returns the subjects that only the appliance publishes to, as far as a declared
// stream stores them, and what edges forward. Buckets are not private: their keys are written by clients too.
func (c *Config) privateOutputs() []string {
	outputs := []string{contract.SubjectRejected + ">", contract.SubjectFleet + ">", contract.SubjectAudit + ">"}
	if c.Fleet.Enabled && c.Fleet.Advisories {
		outputs = append(outputs, contract.SubjectAdvisories)
	}
	for _, a := range c.EnabledAdapters() {
		if len(a.Stream.Servers) == 0 {
			outputs = append(outputs, subject.OfAllSenders(a.Stream.Topic))
		}
	}
	declared := c.DeclaredStreams()
	isStored := func(output string) bool { return len(declared.StreamsOf(output)) > 0 }
	outputs = slices.DeleteFunc(outputs, func(output string) bool { return !isStored(output) })
	return append(outputs, c.siteOutputs()...) // also if no stream stores them: the fleet view receives some of them
}

// privateStreams returns the names of the declared streams that store one of the outputs, sorted.
func (c *Config) privateStreams(outputs []string) []string {
	names := map[string]bool{}
	for _, output := range outputs {
		for _, name := range c.DeclaredStreams().StreamsOf(output) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// checkPrivate reports private streams whose subject_transform would store the write token.
func (c *Config) checkPrivate(check *config.Check) {
	outputs := c.privateOutputs()
	for _, name := range c.privateStreams(outputs) {
		s := c.DeclaredStreams().Streams[name]
		if err := privatestream.CheckTransform(outputs, s.Subjects, s.Transform.Source); err != nil {
			check.Problem("stream."+name+".subject_transform", "%s", err)
		}
	}
}

// privateWarnings returns a sentence for each subject of a private stream that also stores what others
// publish.
func (c *Config) privateWarnings() (warnings []string) {
	outputs := c.privateOutputs()
	covered := func(name string) bool {
		return slices.ContainsFunc(outputs, func(output string) bool { return subject.Covers(output, name) })
	}
	for _, name := range c.privateStreams(outputs) {
		for _, stored := range c.DeclaredStreams().Streams[name].Subjects {
			i := slices.IndexFunc(outputs, func(output string) bool { return subject.Overlap(output, stored) })
			if i >= 0 && !covered(stored) {
				warnings = append(warnings, fmt.Sprintf(
					"stream %s stores %q, and so replies that a client had sent there; declare a stream for %q alone",
					name, stored, outputs[i]))
			}
		}
	}
	return warnings
}

// tokenBytes is the length of the write token: it cannot be guessed.
const tokenBytes = 16

// writeTokenFile is the file of the data directory in which the write token is kept.
const writeTokenFile = "write.token"

// loadWriteToken reads the write token of the data directory. If there is none that can be used, it makes
// one: the streams are changed to it when they are opened.
func (a *Appliance) loadWriteToken(context.Context) error {
	path := filepath.Join(a.cfg.DataDir, writeTokenFile)
	kept, err := os.ReadFile(path)
	token := strings.TrimSpace(string(kept))
	if bytes, wrong := hex.DecodeString(token); err == nil && wrong == nil && len(bytes) == tokenBytes {
		a.privateToken = token
		err = os.Chmod(path, 0o600)
	} else {
		random := make([]byte, tokenBytes)
		_, _ = rand.Read(random) // it never fails
		a.privateToken = hex.EncodeToString(random)
		err = replaceToken(path, a.privateToken)
	}
	if err != nil {
		a.opts.Log.Warn("write token not kept", "error", err)
	}
	return nil
}

// openPrivateStreams protects the private streams, and lets edges publish to them. Everything that publishes is
// opened later.
func (a *Appliance) openPrivateStreams(ctx context.Context) error {
	outputs := a.cfg.privateOutputs()
	a.private = privatestream.New(privatestream.Options{
		Token:         a.privateToken,
		Outputs:       outputs,
		Streams:       a.cfg.privateStreams(outputs),
		Declared:      a.cfg.DeclaredStreams().StreamNames(),
		Account:       broker.Account,
		Others:        []string{broker.ProvisioningAccount},
		MaxPayload:    a.cfg.Broker.MaxPayload,
		ConnectSystem: a.broker.ConnectSystem,
		DialSystem:    a.broker.DialSystem,
		Changing:      a.recorder.changing,
		Audit:         a.auditRequest,
		IsNode:        a.isNode,
		IsAdmin:       a.isAdmin,
		Refused:       a.refusePermission,
		Log:           a.opts.Log.Named("streams"),
	})
	if err := a.private.Open(ctx); err != nil {
		return err
	}
	return a.broker.OpenEdges(a.private.Prefix(contract.SubjectSites + ">"))
}
