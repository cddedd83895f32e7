package appliance

import "github.com/nats-io/nats.go"

// ConnectSystem lets tests see what the server tells of its connections.
func (a *Appliance) ConnectSystem() (*nats.Conn, error) { return a.broker.ConnectSystem("test") }
