package simnode

import (
	"context"
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // Choria's reply subjects have it; it protects nothing
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/nats-io/nats.go"
	"github.com/segmentio/ksuid"
)

const (
	// provisionerCaller is the caller id of the provisioner.
	provisionerCaller = "choria=provisioner"
	// maxWaiting is how many nodes may wait for the provisioner.
	maxWaiting = 1 << 16
	// provisionWorkers is how many nodes are provisioned at the same time, Choria's default.
	provisionWorkers = 4
	// requestTimeout is how long a node may take to reply.
	requestTimeout = 10 * time.Second
)

// Provisioner gives nodes in provisioning mode a configuration and a token, with the requests that Choria's provisioner
// makes: it learns of a node from the startup event, has the node make a key, issues a token for the key, and has the
// node restart. It gives each node the same configuration, and does not ask a helper or elect a leader.
type Provisioner struct {
	Site     *enroll.Site
	Password string            // of [broker.provisioning]
	Settings map[string]string // the configuration of each node beside its identity
	Token    string            // what nodes require in each request: "cht" in their provisioning token; may be empty

	credentials Credentials
	conn        *nats.Conn
	inbox       string // begins the subjects of replies
	started     chan *nats.Msg
}

// Open connects to the broker at a URL and begins to receive startup events.
func (p *Provisioner) Open(url string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	token, err := p.Site.ProvisionerToken(provisionerCaller, public, time.Now())
	if err != nil {
		return err
	}
	p.credentials = Credentials{Key: private, Token: token}
	options := append(p.credentials.Options("provisioner", p.Site.Roots()), nats.UserInfo("provisioner", p.Password))
	if p.conn, err = nats.Connect(url, options...); err != nil {
		return fmt.Errorf("connect the provisioner: %w", err)
	}
	hash := md5.Sum([]byte(provisionerCaller)) //nolint:gosec // see the import
	p.inbox = choria.CollectiveProvisioning + ".reply." + hex.EncodeToString(hash[:]) + "."
	p.started = make(chan *nats.Msg, maxWaiting)
	startup := choria.LifecycleEvent{Type: "startup", Component: choria.ComponentProvisioning}
	if _, err := p.conn.ChanSubscribe(startup.Subject(), p.started); err != nil {
		return err
	}
	return p.conn.Flush()
}

// Run provisions nodes until the context is done. It calls failed for each node that it could not provision.
func (p *Provisioner) Run(ctx context.Context, failed func(error)) {
	var workers sync.WaitGroup
	for range provisionWorkers {
		workers.Go(func() { p.work(ctx, failed) })
	}
	workers.Wait()
}

func (p *Provisioner) work(ctx context.Context, failed func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-p.started:
			node, err := choria.LifecycleIdentity(m.Data)
			if err == nil {
				err = p.provision(ctx, node)
			}
			if err != nil && ctx.Err() == nil {
				failed(fmt.Errorf("provision %s: %w", node, err))
			}
		}
	}
}

// provision gives a node its token and configuration.
func (p *Provisioner) provision(ctx context.Context, node string) error {
	nonce := uuid()
	var made choria.GenKeyReply
	err := p.request(ctx, node, choria.ActionGenKey, choria.GenKeyRequest{Nonce: nonce, Token: p.Token}, &made)
	if err != nil {
		return err
	}
	key, err := choria.PublicKey(made.PublicKey)
	if err != nil {
		return err
	}
	signature, err := hex.DecodeString(made.Signature)
	if err != nil || !ed25519.Verify(key, []byte(nonce), signature) {
		return fmt.Errorf("the node has not signed the nonce with its key %s", made.PublicKey)
	}
	configuration := choria.ConfigureRequest{
		Token: p.Token, ActionPolicies: map[string]string{}, OPAPolicies: map[string]string{},
	}
	if configuration.ServerToken, err = p.Site.Token(node, Collective, key, time.Now()); err != nil {
		return err
	}
	settings, err := json.Marshal(p.settings(node))
	if err != nil {
		return err
	}
	configuration.Configuration = string(settings)
	var done choria.ProvisionReply
	if err := p.request(ctx, node, choria.ActionConfigure, configuration, &done); err != nil {
		return err
	}
	return p.request(ctx, node, choria.ActionRestart, choria.RestartRequest{Splay: 1, Token: p.Token}, &done)
}

// settings returns the configuration of a node.
func (p *Provisioner) settings(node string) map[string]string {
	settings := map[string]string{"identity": node, "plugin.choria.server.provision": "false"}
	for key, value := range p.Settings {
		settings[key] = value
	}
	return settings
}

// request runs an action of the agent choria_provision of a node, and decodes its result.
func (p *Provisioner) request(ctx context.Context, node, action string, arguments, result any) error {
	id := ksuid.New().String()
	r := choria.NewRegistration(id, "provisioner", choria.CollectiveProvisioning, time.Now(), nil)
	r.Agent, r.Caller = choria.AgentProvision, provisionerCaller
	raw, err := r.EncodeRPC(action, p.inbox+id, arguments, p.credentials.Key, p.credentials.Token)
	if err != nil {
		return err
	}
	replies, err := p.conn.SubscribeSync(p.inbox + id)
	if err != nil {
		return err
	}
	defer func() { _ = replies.Unsubscribe() }() // fails only when the connection is closed
	if err := p.conn.Publish(choria.CollectiveProvisioning+".node."+node, raw); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := replies.NextMsgWithContext(ctx)
	if err != nil {
		return fmt.Errorf("no reply to %s: %w", action, err)
	}
	reply, err := choria.ParseRPCReply(m.Data)
	switch {
	case err != nil:
		return fmt.Errorf("reply to %s: %w", action, err)
	case reply.Status != 0:
		return fmt.Errorf("the node refused %s: %s", action, reply.Text)
	}
	return json.Unmarshal(reply.Data, result)
}

// Close disconnects the provisioner. It may be called twice, and before Open.
func (p *Provisioner) Close() {
	if p.conn != nil {
		p.conn.Close()
	}
}
