package appliance

import "github.com/nats-io/nats.go"

// ConnectSystem connects to the system account, in which the server reports its connections.
func (a *Appliance) ConnectSystem() (*nats.Conn, error) { return a.broker.ConnectSystem("test") }
