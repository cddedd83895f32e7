package privatestream

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/subject"
)

// errNotAllowed is the answer to a request of a node about a stream that nodes may not read.
var errNotAllowed = &apiError{http.StatusForbidden, 10039, "nodes may not do this with this stream"}

// checkNode returns what to send to JetStream for a request of a node, or why it is refused. NATS has checked
// the permissions of all peers; those of nodes name no streams. A node may read every key-value bucket, ask for
// the state of every governor, and leave those that it has entered.
func (s *Service) checkNode(m inproc.Message) ([]byte, error) {
	if !s.opts.IsNode(m.Peer.ID) {
		return m.Data, nil
	}
	operation := operationOf(m)
	request, stream := splitOperation(operation)
	ofBucket := strings.HasPrefix(stream, contract.PrefixBucketStream)
	switch {
	case s.isLeaving(operation, m.Peer):
		return s.checkLeaving(operation, m.Peer, m.Data)
	case ofBucket && request == opCreateConsumer:
		return ownConsumer(m.Data)
	case ofBucket && request == opDeleteConsumer:
		return m.Data, s.checkConsumer(operation, m.Peer)
	case request == opStreamInfo || request == opGetMessage:
		if ofBucket || contract.GovernorSubjects(stream) != "" {
			return m.Data, nil
		}
	}
	s.opts.Refused(m.Peer, contract.PrefixAPI+operation)
	return nil, errNotAllowed
}

// Requests that arrive at contract.SubjectChecked.
const (
	opStreamInfo     = "STREAM.INFO"
	opGetMessage     = "STREAM.MSG.GET"
	opDeleteMessage  = "STREAM.MSG.DELETE"
	opCreateConsumer = "CONSUMER.CREATE"
	opDeleteConsumer = "CONSUMER.DELETE"
)

// splitOperation returns the request of an operation that arrives at contract.SubjectChecked, and the name of
// the stream. What follows that, the name of a consumer and its filter, is left out.
func splitOperation(operation string) (request, stream string) {
	for _, request := range []string{opStreamInfo, opGetMessage, opDeleteMessage, opCreateConsumer, opDeleteConsumer} {
		if rest, ok := strings.CutPrefix(operation, request+"."); ok {
			stream, _, _ = strings.Cut(rest, ".")
			return request, stream
		}
	}
	return "", ""
}

// errDurable is the answer to a request of a node about a consumer that is not its own.
var errDurable = &apiError{http.StatusForbidden, 10012, "nodes may use only consumers without a durable name"}

// ownConsumer returns a node's request for a consumer as JetStream gets it, or an error. A node makes consumers
// for itself, such as those that watch a bucket. It may not change an existing one.
func ownConsumer(data []byte) ([]byte, error) {
	whole, err := parseObject(data)
	if err != nil {
		return data, nil // JetStream answers a malformed one
	}
	if isDurable(data) {
		return nil, errDurable
	}
	whole.set("action", "create")
	return json.Marshal(whole)
}

// checkConsumer returns why a node may not delete a consumer: it is durable. The names of the others are random,
// and nodes cannot list them, so the node has made the consumer itself.
func (s *Service) checkConsumer(operation string, from inproc.Peer) error {
	answer, err := s.raw.request(s.ctx, strings.Replace(operation, opDeleteConsumer, "CONSUMER.INFO", 1), from, nil)
	if err == nil && isDurable(answer) {
		err = errDurable
	}
	return err
}

// isDurable reports whether the configuration of a consumer, in a request or an answer, has a durable name.
func isDurable(data []byte) bool {
	var consumer struct {
		Config struct {
			Durable string `json:"durable_name"`
		} `json:"config"`
	}
	return json.Unmarshal(data, &consumer) != nil || consumer.Config.Durable != ""
}

// withoutDirect changes the answer to STREAM.INFO for a node: nodes may not use Direct Get, whose subject
// NATS's permissions cannot limit to buckets. Libraries then use STREAM.MSG.GET.
func (o object) withoutDirect() error {
	var config object
	if err := o.get(memberConfig, &config); err != nil || config == nil {
		return err
	}
	delete(config, "allow_direct")
	o.set(memberConfig, config)
	return nil
}

// errStoresToken is the answer to a client that would make a stream in which it could read the write token.
var errStoresToken = &apiError{http.StatusForbidden, 10052, "only administrators may store this subject"}

// storesToken reports whether a request would make a stream store messages that have the write token: requests to
// JetStream's API, or what the appliance writes to private streams.
func storesToken(operation string, data []byte) bool {
	request, _, _ := strings.Cut(strings.TrimPrefix(operation, "STREAM."), ".")
	whole, err := parseObject(data)
	if err == nil && request == "RESTORE" {
		whole, err = parseObject(whole[memberConfig])
	}
	if err != nil || request != "CREATE" && request != "UPDATE" && request != "RESTORE" {
		return false
	}
	l, err := whole.listening()
	return err == nil && slices.ContainsFunc(l.subjects, func(name string) bool {
		return subject.Overlap(name, contract.SubjectAPIAdvisory) || subject.Overlap(name, contract.SubjectWrite+">")
	})
}
