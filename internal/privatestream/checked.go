package privatestream

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// Answers to requests that the role of the connection does not allow.
var (
	errNotAllowed  = &apiError{http.StatusForbidden, 10039, "the role of this connection does not allow the request"}
	errAdminStream = &apiError{http.StatusForbidden, 10052, "only administrators may change this stream"}
	errStoresToken = &apiError{http.StatusForbidden, 10052, "only administrators may store this subject"}
	errOwnConsumer = &apiError{http.StatusForbidden, 10012, "nodes may use only push consumers without a durable name"}
	errInvalidJSON = &apiError{http.StatusBadRequest, 10025, "invalid JSON"} // as JetStream answers
)

// check returns what to send to JetStream, or why a request is refused. NATS has checked the permissions of the
// connection; those of nodes name no streams.
func (s *Service) check(r *request) ([]byte, error) {
	isNode := s.opts.IsNode(r.Peer.ID)
	readsData := r.config || isNode && (r.name == opCreateConsumer || r.name == opDeleteMessage)
	if readsData && checkUnambiguous(r.Data) != nil {
		return nil, errInvalidJSON
	}
	switch {
	case isNode:
		return s.checkNode(r)
	case s.opts.IsAdmin(r.Peer.ID):
		return r.Data, nil
	case r.changes && r.name != opDeleteConsumer && slices.Contains(s.subjects.streams, r.stream):
		return nil, s.refuse(r, errAdminStream)
	case r.config && storesToken(r):
		return nil, s.refuse(r, errStoresToken)
	default:
		return r.Data, nil
	}
}

// refuse counts a request that a role does not allow, and returns the error.
func (s *Service) refuse(r *request, err error) error {
	s.opts.Refused(r.Peer, contract.PrefixAPI+r.text)
	return err
}

// checkNode does what check does for a node. A node may read every key-value bucket, ask for the state of every
// governor, and leave those that it has entered.
func (s *Service) checkNode(r *request) ([]byte, error) {
	ofBucket := strings.HasPrefix(r.stream, contract.PrefixBucketStream)
	ofGovernor := contract.GovernorSubjects(r.stream) != ""
	switch {
	case r.name == opDeleteMessage && ofGovernor:
		return s.checkLeaving(r)
	case r.name == opCreateConsumer && ofBucket:
		data, err := ownConsumer(r.Data)
		if err != nil {
			err = s.refuse(r, err)
		}
		return data, err
	case r.name == opDeleteConsumer && ofBucket:
		return r.Data, s.checkConsumer(r)
	case (r.name == opStreamInfo || r.name == opGetMessage) && (ofBucket || ofGovernor):
		return r.Data, nil
	default:
		return nil, s.refuse(r, errNotAllowed)
	}
}

// maxInactive is the longest time after which the consumer of a node is deleted that does not listen any more.
const maxInactive = 5 * time.Minute

// ownConsumer returns a node's request for a consumer as JetStream gets it, or an error. A node makes consumers
// for itself, such as those that watch a bucket: they deliver to it, and end with it. It may not change an
// existing one.
func ownConsumer(data []byte) ([]byte, error) {
	whole, err := parseObject(data)
	if err != nil {
		return nil, errInvalidJSON
	}
	config, err := parseObject(whole[memberConfig])
	if err != nil {
		return nil, errInvalidJSON
	}
	var durable, deliver string
	var inactive time.Duration
	for name, into := range map[string]any{
		"durable_name": &durable, "deliver_subject": &deliver, "inactive_threshold": &inactive,
	} {
		if config.get(name, into) != nil {
			return nil, errInvalidJSON
		}
	}
	if durable != "" || deliver == "" {
		return nil, errOwnConsumer
	}
	if inactive > maxInactive {
		config.set("inactive_threshold", maxInactive)
	}
	whole.set(memberConfig, config)
	whole.set("action", "create")
	return json.Marshal(whole)
}

// checkConsumer returns why a node may not delete a consumer: it is durable. The names of the others are random,
// and nodes cannot list them, so the node has made the consumer itself.
func (s *Service) checkConsumer(r *request) error {
	answer, err := s.raw.request(s.ctx, strings.Replace(r.text, opDeleteConsumer, "CONSUMER.INFO", 1), r.Peer, nil)
	if err != nil {
		return err
	}
	var consumer struct {
		Config struct {
			Durable string `json:"durable_name"`
		} `json:"config"`
	}
	if json.Unmarshal(answer, &consumer) != nil || consumer.Config.Durable != "" {
		return s.refuse(r, errOwnConsumer)
	}
	return nil
}

// storesToken reports whether a request would make a stream store messages that have the write token: requests to
// JetStream's API, or what the appliance writes to private streams.
func storesToken(r *request) bool {
	config, err := configOf(r.name, r.Data)
	if err != nil {
		return false // JetStream answers it
	}
	l, err := config.listening()
	return err == nil && slices.ContainsFunc(l.subjects, func(name string) bool {
		return subject.Overlap(name, contract.SubjectAPIAdvisory) || subject.Overlap(name, contract.SubjectWrite+">")
	})
}

// configOf returns the configuration of a stream in the data of a request.
func configOf(name string, data []byte) (object, error) {
	whole, err := parseObject(data)
	if err == nil && name == opRestoreStream {
		return parseObject(whole[memberConfig])
	}
	return whole, err
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
