package enroll

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/revocation"
)

// revokedHeader begins the list of revoked tokens.
const revokedHeader = `# Revoked tokens, one entry a line: identity NAME [TIME], token ID, or issuer NAME.
# "muster revoke" adds entries. The appliance reads this file again when it has changed.
`

// Revoke revokes all certificates or tokens of a name that were issued before now, as far as they are
// known here, and certificates with the serial numbers, in hex. It returns how many certificates or
// tokens are revoked now, and the file that has them.
func (s *Site) Revoke(name string, serials []string, now time.Time) (count int, file string, err error) {
	unlock, err := s.lock()
	if err != nil {
		return 0, "", err
	}
	defer unlock()
	if err := s.checkInterrupted(); err != nil {
		return 0, "", err
	}
	if s.IssuesTokens() {
		if len(serials) > 0 {
			return 0, "", errors.New("nodes have tokens here, which have no serial numbers")
		}
		return 1, s.RevokedTokens(), s.revokeTokens(name, now)
	}
	count, err = s.revokeCertificates(name, serials, now)
	return count, s.CRL(), err
}

// HasEnrolled reports whether the directory has files of a node or client.
func (s *Site) HasEnrolled(name string) bool { return isDir(s.dirOf(name)) }

// HasClient reports whether the directory has files of a client.
func (s *Site) HasClient(name string) bool {
	return filepath.Dir(s.dirOf(name)) == filepath.Join(s.Dir, clientsDir)
}

// revokeCertificates adds the known certificates of a name, and those with the serial numbers, to the
// CRLs, and returns how many these are.
func (s *Site) revokeCertificates(name string, serials []string, now time.Time) (count int, err error) {
	all, err := s.knownSerials(name)
	if err != nil {
		return 0, err
	}
	for _, text := range serials {
		serial, err := parseSerial(text)
		if err != nil {
			return 0, err
		}
		all = append(all, serial)
	}
	if len(all) == 0 {
		return 0, fmt.Errorf("no certificate of %q is known here; give --serial, as "+
			"\"openssl x509 -noout -serial -in CERT\" prints it", name)
	}
	slices.SortFunc(all, (*big.Int).Cmp)
	all = slices.CompactFunc(all, func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
	present, err := s.presentCRLs()
	if err != nil {
		return 0, err
	}
	crl, err := crlFile(present, all, now, s.authorities()...)
	if err != nil {
		return 0, err
	}
	return len(all), crl.write(s.Dir)
}

// parseSerial parses a serial number as openssl prints it: "serial=0A1B", "0A:1B".
func parseSerial(text string) (*big.Int, error) {
	hex := strings.TrimPrefix(strings.TrimPrefix(text, "serial="), "0x")
	serial, ok := new(big.Int).SetString(strings.ReplaceAll(hex, ":", ""), 16)
	if !ok || serial.Sign() <= 0 {
		return nil, fmt.Errorf("the serial number %q is not valid; give it in hex", text)
	}
	return serial, nil
}

// lock waits until no other process revokes or rotates here, and returns a function that lets them.
func (s *Site) lock() (unlock func(), err error) {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("lock %s: %w", s.Dir, err)
	}
	return func() { _ = dir.Close() }, nil
}

// revokeTokens adds what is needed to the list of revoked tokens: the id of the holder's token in this
// directory, and the tokens of that name that were issued before now.
func (s *Site) revokeTokens(name string, now time.Time) error {
	if name == "" || strings.ContainsAny(name, " \t\r\n") || strings.HasPrefix(name, "#") {
		return fmt.Errorf("the name %q is not valid", name)
	}
	text, err := os.ReadFile(s.RevokedTokens())
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(revokedHeader), nil
	}
	if err != nil {
		return err
	}
	if _, err := revocation.ParseTokens(string(text)); err != nil {
		return fmt.Errorf("%s: %w", s.RevokedTokens(), err)
	}
	list := string(text)
	if list != "" && !strings.HasSuffix(list, "\n") {
		list += "\n"
	}
	add := func(line string) {
		if !strings.Contains("\n"+list, "\n"+line) {
			list += line
		}
	}
	token, err := readToken(s.dirOf(name))
	if id := choria.TokenID(token); err == nil && id != "" {
		add(revocation.TokenLine(id))
	}
	add(revocation.IdentityLine(name, now))
	return file{name: fileRevoked, text: list, mode: public}.write(s.Dir)
}

// knownSerials returns the serial numbers of the certificates of a name that the list of issued
// certificates or its directory has.
func (s *Site) knownSerials(name string) ([]*big.Int, error) {
	var serials []*big.Int
	issued, err := os.ReadFile(filepath.Join(s.Dir, fileIssued))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(issued)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[1] != name {
			continue
		}
		if serial, ok := new(big.Int).SetString(fields[0], 16); ok {
			serials = append(serials, serial)
		}
	}
	certificate, err := readCertificate(filepath.Join(s.dirOf(name), fileCert))
	if err == nil {
		serials = append(serials, certificate.SerialNumber)
	}
	return serials, nil
}

// readCertificate returns the first certificate in a file.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: is not PEM", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// recordIssued adds the certificate among the files to the list of issued certificates: enrolling a
// node again overwrites its file, and the serial number is needed to revoke it.
func (s *Site) recordIssued(made files) error {
	at := slices.IndexFunc(made, func(f file) bool { return f.name == fileCert })
	if at < 0 {
		return nil
	}
	block, _ := pem.Decode([]byte(made[at].text))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	list, err := os.OpenFile(filepath.Join(s.Dir, fileIssued), os.O_APPEND|os.O_CREATE|os.O_WRONLY, public)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(list, "%X %s %s\n", c.SerialNumber, c.Subject.CommonName, c.NotAfter.Format(time.DateOnly))
	return errors.Join(err, list.Sync(), list.Close())
}
