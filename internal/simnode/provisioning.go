package simnode

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
)

// choriaVersion is the version of Choria that the nodes say they run.
const choriaVersion = "0.29.4"

// unprovisioned is a node in provisioning mode: it is connected with a provisioning token, and waits for a
// provisioner to make requests to its agent choria_provision.
type unprovisioned struct {
	*connectedNode
	url      string
	conn     *nats.Conn
	requests chan *nats.Msg

	key   ed25519.PrivateKey // nil until it is asked for one
	token string             // of its own; empty until it is configured
	splay time.Duration      // until it restarts
	ready bool               // it restarts
}

// Provision connects all nodes with a provisioning token, one after the other, and waits until each has its own token
// and is connected with it, or the context is done. It calls provisioned for each node. The nodes must have been made
// without credentials.
func (s *Nodes) Provision(ctx context.Context, token string, provisioned func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer cancel()
	errs := make(chan error, len(s.nodes))
	s.wg.Go(func() {
		for _, n := range s.nodes {
			u, err := s.connectUnprovisioned(ctx, n, token)
			if err != nil {
				errs <- err
				return
			}
			s.wg.Go(func() { errs <- s.awaitProvisioning(ctx, u) })
		}
	})
	for range s.nodes {
		if err := <-errs; err != nil {
			return err
		}
		provisioned()
	}
	return nil
}

// connectUnprovisioned connects a node as a server in provisioning mode does.
func (s *Nodes) connectUnprovisioned(ctx context.Context, n *connectedNode, token string) (*unprovisioned, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	u := &unprovisioned{connectedNode: n, url: s.url, requests: make(chan *nats.Msg, 16)}
	options := append(Credentials{}.Options(n.Identity, s.roots), nats.Token(token), nats.MaxReconnects(-1))
	var err error
	if u.conn, err = nats.Connect(s.url, options...); err != nil {
		return nil, fmt.Errorf("connect %s with a provisioning token: %w", n.Identity, err)
	}
	for _, subject := range []string{
		choria.CollectiveProvisioning + ".broadcast.agent." + choria.AgentProvision,
		choria.CollectiveProvisioning + ".node." + n.Identity,
	} {
		if _, err = u.conn.ChanSubscribe(subject, u.requests); err != nil {
			break
		}
	}
	if err == nil {
		err = u.publishEvent("startup")
	}
	if err != nil {
		u.conn.Close()
		return nil, fmt.Errorf("start %s in provisioning mode: %w", n.Identity, err)
	}
	return u, nil
}

func (u *unprovisioned) publishEvent(kind string) error {
	event := choria.LifecycleEvent{Type: kind, Component: choria.ComponentProvisioning, Identity: u.Identity}
	if kind == "startup" {
		event.Version = choriaVersion
	}
	data, err := event.Encode(uuid(), time.Now())
	if err != nil {
		return err
	}
	return u.conn.Publish(event.Subject(), data)
}

// awaitProvisioning handles the requests of a provisioner until the node must restart, and connects it with its own
// token then.
func (s *Nodes) awaitProvisioning(ctx context.Context, u *unprovisioned) error {
	defer u.conn.Close()
	for !u.ready {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-u.requests:
			if err := u.handle(m); err != nil {
				return fmt.Errorf("provision %s: %w", u.Identity, err)
			}
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(u.splay):
	}
	if err := errors.Join(u.publishEvent("shutdown"), u.conn.FlushTimeout(flushTimeout)); err != nil {
		return fmt.Errorf("stop %s: %w", u.Identity, err)
	}
	u.conn.Close()
	u.Credentials = Credentials{Key: u.key, Token: u.token}
	return s.connect(u.connectedNode)
}

// handle runs the action of a request and replies. Requests to other agents are not answered.
func (u *unprovisioned) handle(m *nats.Msg) error {
	request, err := choria.ParseRPCRequest(m.Data)
	if err != nil || request.Agent != choria.AgentProvision {
		return err
	}
	reply := choria.RPCReply{Text: "OK"}
	result, err := u.act(request)
	if err != nil {
		reply.Status, reply.Text = 1, err.Error() // aborted
	}
	if reply.Data, err = json.Marshal(result); err != nil {
		return err
	}
	raw, err := request.EncodeReply(reply, u.Identity, u.url, time.Now())
	if err != nil {
		return err
	}
	return u.conn.Publish(request.ReplyTo, raw)
}

// act runs an action of the agent choria_provision and returns its result.
func (u *unprovisioned) act(request *choria.RPCRequest) (result any, err error) {
	switch request.Action {
	case choria.ActionGenKey:
		var arguments choria.GenKeyRequest
		if err := json.Unmarshal(request.Data, &arguments); err != nil {
			return nil, err
		}
		return u.makeKey(arguments.Nonce)
	case choria.ActionConfigure:
		var arguments choria.ConfigureRequest
		if err := json.Unmarshal(request.Data, &arguments); err != nil {
			return nil, err
		}
		return u.configure(arguments)
	case choria.ActionRestart:
		var arguments choria.RestartRequest
		if err := json.Unmarshal(request.Data, &arguments); err != nil {
			return nil, err
		}
		return u.restart(arguments)
	default:
		return nil, fmt.Errorf("unknown action %q", request.Action)
	}
}

func (u *unprovisioned) makeKey(nonce string) (any, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	u.key, u.token = private, ""
	return choria.GenKeyReply{
		PublicKey: hex.EncodeToString(public), Directory: "/etc/choria",
		Signature: hex.EncodeToString(ed25519.Sign(private, []byte(nonce))),
	}, nil
}

func (u *unprovisioned) configure(c choria.ConfigureRequest) (any, error) {
	settings := map[string]string{}
	if err := json.Unmarshal([]byte(c.Configuration), &settings); err != nil {
		return nil, fmt.Errorf("decode the configuration: %w", err)
	}
	if len(settings) == 0 || c.ServerToken == "" {
		return nil, errors.New("the configuration or the token is empty")
	}
	u.token = c.ServerToken
	if err := u.publishEvent("provisioned"); err != nil {
		return nil, err
	}
	return choria.ProvisionReply{Message: fmt.Sprintf("Wrote %d lines to /etc/choria/server.conf", len(settings))}, nil
}

func (u *unprovisioned) restart(r choria.RestartRequest) (any, error) {
	if u.key == nil || u.token == "" {
		return nil, errors.New("the node is not configured")
	}
	u.ready, u.splay = true, mathrand.N(time.Duration(max(r.Splay, 1))*time.Second)
	return choria.ProvisionReply{Message: fmt.Sprintf("Restarting Choria Server after %v", u.splay)}, nil
}
