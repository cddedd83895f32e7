package appliance

import "path/filepath"

// BrokerAddress returns the host and port to which nodes connect.
func (a *Appliance) BrokerAddress() string { return a.broker.Address() }

// ConsoleAddress returns the host and port on which the console listens.
func (a *Appliance) ConsoleAddress() string { return a.console.Address() }

// DataDir returns the data directory, as an absolute path if that can be found.
func (a *Appliance) DataDir() string {
	if abs, err := filepath.Abs(a.cfg.DataDir); err == nil {
		return abs
	}
	return a.cfg.DataDir
}
