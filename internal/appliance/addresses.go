package appliance

import "path/filepath"

// BrokerAddress returns the host and port to which nodes connect.
func (a *Appliance) BrokerAddress() string { return a.broker.Address() }

// Listeners returns the URLs of the broker's ports beside BrokerAddress, by the name of their table, such as
// "websocket".
func (a *Appliance) Listeners() map[string]string {
	if a.broker == nil {
		return nil
	}
	urls := map[string]string{}
	for _, l := range a.broker.Listeners() {
		urls[l.Name] = l.URL
	}
	return urls
}

// ConsoleAddress returns the host and port on which the console listens.
func (a *Appliance) ConsoleAddress() string { return a.console.Address() }

// DataDir returns the data directory, as an absolute path if that can be found.
func (a *Appliance) DataDir() string {
	if abs, err := filepath.Abs(a.cfg.DataDir); err == nil {
		return abs
	}
	return a.cfg.DataDir
}
