package choria

import (
	"encoding/json"
	"time"
)

// adapterOutput is what Choria's data adapters publish, in their order of keys. The id is
// "choria_streams" for the type jetstream too. Its schema says that time is an integer;
// what is sent, and so what consumers read, is RFC 3339.
type adapterOutput struct {
	Protocol string    `json:"protocol"`
	Data     string    `json:"data"`
	Sender   string    `json:"sender"`
	Time     time.Time `json:"time"`
	ID       string    `json:"requestid"`
}

const outputProtocol = "choria:adapters:choria_streams:output:1"

// AdapterOutput is the message as Choria's own adapter would have written it.
// Schema: https://choria.io/schemas/choria/adapters/choria_streams/v1/output.json.
func (m *Message) AdapterOutput() ([]byte, error) {
	return json.Marshal(adapterOutput{
		Protocol: outputProtocol,
		Data:     string(m.Body),
		Sender:   m.Sender,
		Time:     m.Time,
		ID:       m.ID,
	})
}
