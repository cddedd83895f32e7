package appliance

import (
	"time"

	"github.com/muster-appliance/muster/console"
)

// Leafnodes returns the state of the links to brokers of other sites.
func (a *Appliance) Leafnodes() []console.Leafnode {
	all := []console.Leafnode{}
	for _, l := range a.broker.Links() {
		all = append(all, console.Leafnode{
			Name: l.Name, Remote: l.Remote, URLs: l.URLs, Allow: string(l.Allow), Connected: l.Connected,
			Since: l.Since, Address: l.Address, RoundTripMS: float64(l.RoundTrip) / float64(time.Millisecond),
			Compression: l.Compression, Received: l.Received, Sent: l.Sent, Error: l.Error,
		})
	}
	return all
}

// leafWarnings returns a warning for each broker to which this one connects as a leaf node and cannot.
func (a *Appliance) leafWarnings() (warnings []console.Reason) {
	if a.broker == nil {
		return nil
	}
	for _, l := range a.Leafnodes() {
		if !l.Remote || l.Connected {
			continue
		}
		detail := "not connected; requests do not cross until it is"
		if l.Error != "" {
			detail = "not connected: " + l.Error + "; requests do not cross until that is solved"
		}
		warnings = append(warnings, console.Reason{Code: CodeLeafnodeDisconnected, What: l.Name, Detail: detail})
	}
	return warnings
}
