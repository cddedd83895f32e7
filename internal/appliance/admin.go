package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// tokenRetryDelay is the pause before the admin token is written again.
const tokenRetryDelay = 500 * time.Millisecond

// TokenFile returns the file in which a running appliance keeps its admin token.
func (c *Config) TokenFile() string { return filepath.Join(c.DataDir, "admin.token") }

// AdminOptions returns the options to connect as administrator to the broker of a running
// appliance with this configuration: its admin token, and trust in its certificate. A token
// that cannot be read is left out; the broker then refuses the connection, or accepts it as in
// a lab.
func (c *Config) AdminOptions(now time.Time) ([]nats.Option, error) {
	options := []nats.Option{nats.Name("muster")}
	token, err := os.ReadFile(c.TokenFile())
	if err == nil {
		options = append(options, nats.Token(string(token)))
	}
	if c.Broker.Encrypted() {
		tls, err := c.Broker.TLS.LocalClient(now)
		if err != nil {
			return nil, fmt.Errorf("broker.tls: %w", err)
		}
		options = append(options, nats.Secure(tls))
	}
	return options, nil
}

// AdminHint returns what to do after the broker refused a connection with AdminOptions.
func (c *Config) AdminHint() string {
	file := c.TokenFile()
	_, err := os.ReadFile(file)
	switch {
	case err == nil:
		return "the token in " + file + " is not that of the appliance at this address: " +
			"use the configuration with which that appliance runs"
	case errors.Is(err, fs.ErrPermission):
		return "run this command as root or as the appliance's user, which can read " + file
	default:
		return file + " does not exist: use the configuration with which the appliance runs; " +
			"if its log has \"admin token not written\", free disk space"
	}
}

// writeToken writes the admin token into the data directory. Without the file, for example on a
// full disk, the appliance still collects, and tries again until the file is written.
func (a *Appliance) writeToken(context.Context) error {
	err := replaceToken(a.cfg.TokenFile(), a.broker.AdminToken())
	if err == nil {
		return nil
	}
	a.opts.Log.Warn("admin token not written; \"muster streams apply\" cannot connect until it is", "error", err)
	a.wg.Go(a.retryToken)
	return nil
}

// retryToken writes the admin token again and again, until that succeeds or the appliance closes.
func (a *Appliance) retryToken() {
	ticker := time.NewTicker(tokenRetryDelay)
	defer ticker.Stop()
	for {
		select {
		case <-a.quit:
			return
		case <-ticker.C:
		}
		if replaceToken(a.cfg.TokenFile(), a.broker.AdminToken()) == nil {
			a.opts.Log.Info("admin token written")
			return
		}
	}
}

// replaceToken writes the token to a file that only the appliance's own user can read, whatever
// mode an existing file has. The file always has a whole token: it is written under a temporary
// name. If that fails, the existing file is removed, because its token is of an earlier process.
func replaceToken(path, token string) error {
	temporary := path + ".tmp" // no other process writes it: the data directory is locked
	err := os.Remove(temporary)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = writeNew(temporary, token)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_, _ = os.Remove(temporary), os.Remove(path)
	}
	return err
}

// writeNew creates a file with mode 0600. It is an error if the file exists.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Sync(), file.Close())
}
