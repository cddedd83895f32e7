package choria

// AgentProvision is the agent through which a server in provisioning mode gets its identity. See
// https://github.com/choria-io/go-choria/tree/main/providers/agent/mcorpc/golang/provision for its actions.
const AgentProvision = "choria_provision"

// Actions of AgentProvision.
const (
	ActionGenKey    = "gen25519"  // make an ed25519 key
	ActionConfigure = "configure" // take a configuration and a token
	ActionRestart   = "restart"   // restart with them
)

// CollectiveProvisioning is the collective of servers in provisioning mode.
const CollectiveProvisioning = "provisioning"

// GenKeyRequest are the arguments of ActionGenKey.
type GenKeyRequest struct {
	Nonce string `json:"nonce"`
	Token string `json:"token"` // secret of the servers that is built in or in their provisioning token; may be empty
}

// GenKeyReply is the result of ActionGenKey.
type GenKeyReply struct {
	PublicKey string `json:"public_key"` // hex
	Directory string `json:"directory"`  // where the server keeps the key
	Signature string `json:"signature"`  // of the nonce, hex
}

// ConfigureRequest are the arguments of ActionConfigure, in the order in which Choria writes them.
type ConfigureRequest struct {
	ActionPolicies map[string]string `json:"action_policies"`
	CA             string            `json:"ca"`
	Certificate    string            `json:"certificate"`
	Configuration  string            `json:"config"` // a JSON object with strings, by key of the server's configuration
	ECDHPublic     string            `json:"ecdh_public"`
	Key            string            `json:"key"` // PEM, encrypted for the server
	OPAPolicies    map[string]string `json:"opa_policies"`
	ServerToken    string            `json:"server_jwt"`
	SSLDir         string            `json:"ssldir"`
	Token          string            `json:"token"`
}

// RestartRequest are the arguments of ActionRestart.
type RestartRequest struct {
	Splay int    `json:"splay"` // seconds; the server waits a part of them at random
	Token string `json:"token"`
}

// ProvisionReply is the result of ActionConfigure and ActionRestart.
type ProvisionReply struct {
	Message string `json:"message"`
}
