package broker

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// listener is a kind of port of the broker, over which a connection came.
type listener int

const (
	listenerNone      listener = iota // not one of ours: a route, a gateway, MQTT
	listenerNATS                      // the port of [broker], or this process
	listenerWebSocket                 // the port of [broker.websocket], except leaf nodes
	listenerLeafnode                  // a leaf node, on its own port or over WebSocket
)

// listenerOf returns over which listener a connection came.
func listenerOf(connection server.ClientAuthentication) listener {
	switch connection.Kind() {
	case server.LEAF:
		return listenerLeafnode
	case server.CLIENT:
		return listenerIn(fmt.Sprint(connection))
	default:
		return listenerNone
	}
}

// listenerIn returns the listener of a client from its description in the server's words: "ADDRESS - KIND:ID",
// to which quoted text that the client chose is added. The server gives out the kind nowhere else. ADDRESS may
// begin with an address from the header X-Forwarded-For.
func listenerIn(description string) listener {
	_, rest, _ := strings.Cut(description, " - ")
	switch kind, _, _ := strings.Cut(rest, ":"); kind {
	case "cid":
		return listenerNATS
	case "wid":
		return listenerWebSocket
	case "lid", "lid_ws":
		return listenerLeafnode
	default:
		return listenerNone
	}
}

// Listener is a port of the broker beside that of [broker].
type Listener struct {
	Name string // of its table below [broker]
	URL  string // scheme, host and port
	Note string // for people; empty: none
}

// Listeners returns the ports beside that of [broker] that are configured.
func (c *Config) Listeners() []Listener {
	var all []Listener
	if c.WebSocket.enabled() {
		all = append(all, Listener{Name: "websocket", URL: c.websocketURL(c.WebSocket.Listen), Note: c.WebSocket.note()})
	}
	if l := c.Leafnodes.Listen; l != "" {
		all = append(all, Listener{Name: "leafnodes", URL: c.leafURL(l)})
	}
	return all
}

// Listeners returns the open ports beside that of [broker], once Open has returned.
func (b *Broker) Listeners() []Listener {
	var all []Listener
	if b.cfg.WebSocket.enabled() {
		all = append(all, Listener{Name: "websocket", URL: b.srv.WebsocketURL()})
	}
	if b.cfg.Leafnodes.Listen != "" {
		all = append(all, Listener{Name: "leafnodes", URL: b.cfg.leafURL(b.leafAddress())})
	}
	return all
}

// probeListeners opens and closes the ports that the server opens when it starts, so that a port that is taken is
// an error which names the key.
func (c *Config) probeListeners() error {
	if err := probe("broker.listen", c.ListenAddress()); err != nil {
		return err
	}
	if c.WebSocket.enabled() {
		if err := probe("broker.websocket.listen", c.WebSocket.Listen); err != nil {
			return err
		}
	}
	if l := c.Leafnodes.Listen; l != "" {
		return probe("broker.leafnodes.listen", l)
	}
	return nil
}
