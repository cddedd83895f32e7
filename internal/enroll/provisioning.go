package enroll

import (
	"crypto/ed25519"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// provisioningYears is how long a provisioning token is valid, in years.
const provisioningYears = 1

// ProvisioningToken issues the token with which nodes connect that have no identity yet. All of them may have the same.
// There must be an issuer.
func (s *Site) ProvisioningToken(now time.Time) (string, error) {
	claims := choria.Claims{Purpose: choria.PurposeProvisioning, OrgUnit: s.issuerName}
	return choria.IssueToken(claims, s.issuer, now, now.AddDate(provisioningYears, 0, 0).Sub(now))
}

// ProvisionerToken issues the token of a provisioner for its public key. There must be an issuer.
func (s *Site) ProvisionerToken(callerID string, key ed25519.PublicKey, now time.Time) (string, error) {
	claims := choria.ClientClaims(callerID, key)
	claims.OrgUnit = s.issuerName
	claims.Permissions = map[string]bool{"provisioner": true}
	return choria.IssueToken(claims, s.issuer, now, now.AddDate(leafYears, 0, 0).Sub(now))
}
