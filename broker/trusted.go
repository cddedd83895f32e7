package broker

import (
	"crypto/x509"
	"fmt"
	"time"
)

// trustInterval is, by default, how often the files that decide which certificates and tokens are valid are looked
// at, and the connections whose certificate or token has expired.
const trustInterval = 3 * time.Second

// openTrust loads the TLS files, the CRLs and the list of revoked tokens. A CA without a certificate
// only verifies the senders of messages; connections then need tokens.
func (b *Broker) openTrust() (err error) {
	now, files := b.opts.Now(), b.cfg.TLS
	if files.Enabled() || files.CA != "" {
		if b.certs, err = openCertificates(files, b.opts.Verifier, b.opts.Now, b.opts.Log); err != nil {
			return fmt.Errorf("broker.tls: %w", err)
		}
	}
	b.trustMu.Lock()
	defer b.trustMu.Unlock()
	b.revocations, err = openRevocations(&b.cfg, b.authorities(), b.opts.CRLRecord, now, b.opts.Log)
	if err != nil {
		return err
	}
	b.revocations.record.keep(b.revocations.lists)
	b.revocations.logWarnings(now)
	b.applyTrust()
	return nil
}

// authorities returns the CAs that sign the certificates of nodes and clients.
func (b *Broker) authorities() []*x509.Certificate {
	if b.certs == nil {
		return nil
	}
	return b.certs.files.Current().CAs
}

// applyTrust makes the verifier use the current files. trustMu is held.
func (b *Broker) applyTrust() {
	if b.certs != nil {
		b.opts.Verifier.Trust(b.authorities(), b.revocations.lists)
	}
	b.opts.Verifier.TokenVerifier().Revoke(b.revocations.tokens.list)
}

// refreshTrust loads the files again that have changed, and ends the connections that are not valid any
// more.
func (b *Broker) refreshTrust(now time.Time) {
	b.trustMu.Lock()
	defer b.trustMu.Unlock()
	changed := b.certs != nil && b.certs.refresh(now)
	changed = b.revocations.refresh(b.authorities(), changed, now) || changed
	if changed {
		b.applyTrust()
	}
	b.endInvalid(changed, now)
}

func (b *Broker) watchTrust() {
	ticker := time.NewTicker(b.trustInterval)
	defer ticker.Stop()
	for {
		b.refreshTrust(b.opts.Now())
		select {
		case <-b.quit:
			return
		case <-ticker.C:
		}
	}
}
