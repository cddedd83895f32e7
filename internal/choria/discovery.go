package choria

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Protocols of external discovery, in which Choria's clients have another program find nodes.
// Schemas: https://choria.io/schemas/choria/discovery/v1/.
const (
	discoveryRequest = "io.choria.choria.discovery.v1.external_request"
	discoveryReply   = "io.choria.choria.discovery.v1.external_reply"
)

// DiscoveryRequest is what a client asks for.
type DiscoveryRequest struct {
	Protocol    string            `json:"protocol"`
	Timeout     float64           `json:"timeout"` // seconds
	Collective  string            `json:"collective"`
	Federations []string          `json:"federations"`
	Options     map[string]string `json:"options"` // its --do
	Filter      Filter            `json:"filter"`
}

// ParseDiscoveryRequest reads a request. What nothing here can tell of nodes is an error: left out, it
// would select too many.
func ParseDiscoveryRequest(text []byte) (*DiscoveryRequest, error) {
	var d DiscoveryRequest
	if err := decodeJSON("discovery request", text, &d); err != nil {
		return nil, err
	}
	if err := d.known(text); err != nil {
		return nil, err
	}
	switch {
	case d.Protocol != discoveryRequest:
		return nil, fmt.Errorf("%w: the protocol is %q; want %s", ErrSchema, d.Protocol, discoveryRequest)
	case len(d.Filter.Compound) > 0:
		return nil, errors.New("compound filters are not supported; select by identities, facts, classes and agents")
	case len(d.Federations) > 0:
		return nil, fmt.Errorf("federations are not supported; discover in the collective %s", d.Collective)
	}
	for _, f := range d.Filter.Facts {
		if read, err := ParseFactFilter(f.String()); err != nil || read != f {
			return nil, errors.Join(fmt.Errorf("%w: %q is no condition on a fact", ErrSchema, f.String()), err)
		}
	}
	return &d, nil
}

// known refuses filters that are not known here, and those that are empty.
func (d *DiscoveryRequest) known(text []byte) error {
	var request struct {
		Filter map[string]json.RawMessage `json:"filter"`
	}
	if err := decodeJSON("discovery request", text, &request); err != nil {
		return err
	}
	for kind := range request.Filter {
		if !slices.Contains([]string{"fact", "cf_class", "agent", "identity", "compound"}, kind) {
			return fmt.Errorf("filters by %q are not supported", kind)
		}
	}
	for kind, filters := range map[string][]string{"identity": d.Filter.Identities, "cf_class": d.Filter.Classes, "agent": d.Filter.Agents} {
		if slices.Contains(filters, "") {
			return fmt.Errorf("%w: a filter of %s is empty", ErrSchema, kind)
		}
	}
	return nil
}

// EncodeDiscoveryReply is the answer to a request: nodes, or why there are none.
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
		reply.Nodes = []string{}
	}
	return json.Marshal(reply)
}
