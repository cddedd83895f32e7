package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
)

// enableProvisioning switches provisioning on in the lab, and makes nodes without credentials.
func (d *demo) enableProvisioning(cfg *appliance.Config, o *simnode.NodeOptions) {
	cfg.Broker.Provisioning.ClientPassword = rand.Text()
	cfg.Broker.Provisioning.MaxConnections = int64(d.nodes)
	o.Protocol, o.Unprovisioned = choria.V2, true
}

// provisionNodes connects the nodes with a provisioning token, and runs a provisioner until each node has a token of
// its own and is connected with it.
func (d *demo) provisionNodes(
	ctx context.Context, a *appliance.Appliance, site *enroll.Site, password string, nodes *simnode.Nodes,
) error {
	token, err := site.ProvisioningToken(time.Now())
	if err != nil {
		return err
	}
	url := "nats://" + a.BrokerAddress()
	provisioner := &simnode.Provisioner{Site: site, Password: password, Settings: map[string]string{
		"plugin.choria.middleware_hosts": url, "plugin.security.provider": "choria", "collectives": simnode.Collective,
	}}
	defer provisioner.Close()
	if err := provisioner.Open(url); err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		provisioner.Run(running, func(err error) { stop(err) })
	}()
	fmt.Fprintln(d.out, "nodes connect with a provisioning token; a provisioner gives each a token of its own")
	err = nodes.Provision(running, token, d.provisioningProgress(a))
	if errors.Is(err, context.Canceled) {
		err = context.Cause(running)
	}
	stop(nil)
	<-stopped
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d nodes provisioned and connected; each registers every %s with protocol 2\n",
		d.nodes, d.interval)
	return nil
}

// provisioningProgress returns a function that counts the nodes that are provisioned, and shows it together with those
// in provisioning from time to time.
func (d *demo) provisioningProgress(a *appliance.Appliance) func() {
	interval, start, end := time.Second, "", "\n"
	if d.terminal {
		interval, start, end = drawInterval/5, "\r\033[K", "" // back to the first column, and clear the line
	}
	provisioned, last := 0, time.Now()
	return func() {
		provisioned++
		if time.Since(last) >= interval {
			last = time.Now()
			fmt.Fprintf(d.out, "%s%d in provisioning  %d of %d provisioned%s",
				start, a.States()[fleet.Provisioning], provisioned, d.nodes, end)
		}
		if provisioned == d.nodes {
			fmt.Fprint(d.out, start)
		}
	}
}
