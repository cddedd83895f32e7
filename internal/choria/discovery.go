package choria

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Protocol ids of external discovery, with which a Choria client lets another program find
// nodes. The schemas are at https://choria.io/schemas/choria/discovery/v1/.
const (
	discoveryRequest = "io.choria.choria.discovery.v1.external_request"
	discoveryReply   = "io.choria.choria.discovery.v1.external_reply"
)

// DiscoveryRequest is a Choria client's request for the names of nodes.
type DiscoveryRequest struct {
	Protocol    string            `json:"protocol"`
	Timeout     float64           `json:"timeout"` // seconds
	Collective  string            `json:"collective"`
	Federations []string          `json:"federations"`
	Options     map[string]string `json:"options"` // the client's --do options
	Filter      Filter            `json:"filter"`
}

// ParseDiscoveryRequest parses a request. It returns an error for every filter that Muster
// cannot evaluate: ignoring a filter would select too many nodes.
func ParseDiscoveryRequest(text []byte) (*DiscoveryRequest, error) {
	var d DiscoveryRequest
	if err := decodeJSON("discovery request", text, &d); err != nil {
		return nil, err
	}
	if err := d.checkFilters(text); err != nil {
		return nil, err
	}
	switch {
	case d.Protocol != discoveryRequest:
		return nil, fmt.Errorf("%w: the protocol is %q; expected %s", ErrSchema, d.Protocol, discoveryRequest)
	case len(d.Filter.Compound) > 0:
		return nil, errors.New("compound filters are not supported; select by identities, facts, classes and agents")
	case len(d.Federations) > 0:
		return nil, fmt.Errorf("federations are not supported; discover in the collective %s", d.Collective)
	}
	for _, f := range d.Filter.Facts {
		if parsed, err := ParseFactFilter(f.String()); err != nil || parsed != f {
			return nil, errors.Join(fmt.Errorf("%w: %q is not a valid fact filter", ErrSchema, f.String()), err)
		}
	}
	return &d, nil
}

// checkFilters returns an error if the request has a kind of filter that Muster does not know,
// or an empty filter.
func (d *DiscoveryRequest) checkFilters(text []byte) error {
	var request struct {
		Filter map[string]json.RawMessage `json:"filter"`
	}
	if err := decodeJSON("discovery request", text, &request); err != nil {
		return err
	}
	for kind := range request.Filter {
		if !slices.Contains([]string{"fact", "cf_class", "agent", "identity", "compound"}, kind) {
			return fmt.Errorf("filters of the kind %q are not supported", kind)
		}
	}
	filters := map[string][]string{
		"identity": d.Filter.Identities, "cf_class": d.Filter.Classes, "agent": d.Filter.Agents,
	}
	for kind, values := range filters {
		if slices.Contains(values, "") {
			return fmt.Errorf("%w: a filter of the kind %q is empty", ErrSchema, kind)
		}
	}
	return nil
}

// EncodeDiscoveryReply encodes the reply to a request: the names of the nodes or, if failure is
// not nil, its text and no nodes.
func EncodeDiscoveryReply(nodes []string, failure error) ([]byte, error) {
	reply := struct {
		Protocol string   `json:"protocol"`
		Nodes    []string `json:"nodes"`
		Error    string   `json:"error"`
	}{discoveryReply, nodes, ""}
	if failure != nil {
		reply.Nodes, reply.Error = nil, failure.Error()
	}
	if reply.Nodes == nil {
		reply.Nodes = []string{} // the schema requires a list
	}
	return json.Marshal(reply)
}
