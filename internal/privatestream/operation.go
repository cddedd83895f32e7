package privatestream

import (
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/subject"
)

// operation is a kind of request to JetStream's API that the Service answers.
type operation struct {
	name    string // after "$JS.API."; a stream follows, except for lists
	rest    string // pattern of what follows the stream
	changes bool   // it can change a stream, its messages or its consumers
	action  string // as which it is audited; empty: it is not
	config  bool   // its data has the configuration of a stream
}

// Names of operations.
const (
	listStreams      = "STREAM.LIST"
	nameStreams      = "STREAM.NAMES"
	opStreamInfo     = "STREAM.INFO"
	opCreateStream   = "STREAM.CREATE"
	opUpdateStream   = "STREAM.UPDATE"
	opRestoreStream  = "STREAM.RESTORE"
	opGetMessage     = "STREAM.MSG.GET"
	opDeleteMessage  = "STREAM.MSG.DELETE"
	opCreateConsumer = "CONSUMER.CREATE"
	opDeleteConsumer = "CONSUMER.DELETE"
)

// operations are all kinds. Those on consumers are not audited: readers make them all the time.
var operations = []operation{
	{name: listStreams},
	{name: nameStreams},
	{name: opStreamInfo},
	{name: opCreateStream, changes: true, action: contract.ActionCreateStream, config: true},
	{name: opUpdateStream, changes: true, action: contract.ActionUpdateStream, config: true},
	{name: "STREAM.DELETE", changes: true, action: contract.ActionDeleteStream},
	{name: "STREAM.PURGE", changes: true, action: contract.ActionPurgeStream},
	{name: "STREAM.SNAPSHOT", changes: true, action: contract.ActionBackUpStream},
	{name: opRestoreStream, changes: true, action: contract.ActionRestoreStream, config: true},
	{name: opGetMessage},
	{name: opDeleteMessage, changes: true, action: contract.ActionDeleteMessage},
	{name: opCreateConsumer},
	{name: opCreateConsumer, rest: ".>"},
	{name: opDeleteConsumer, rest: ".*", changes: true},
}

// request is one request.
type request struct {
	inproc.Message
	operation
	text   string // the subject after "$JS.API."
	stream string // empty for a list
}

// parseRequest returns a request; ok is false if it is not one of operations. JetStream does not answer a request
// that it does not know, so none may reach it.
func parseRequest(m inproc.Message) (r request, ok bool) {
	text, checked := strings.CutPrefix(m.Subject, contract.SubjectChecked)
	if !checked {
		text = strings.TrimPrefix(m.Subject, contract.SubjectAPI)
	}
	unknown := request{Message: m, operation: operation{name: "error"}, text: text}
	covers := func(pattern string) bool { return subject.Covers(pattern, text) }
	if subject.Check(text) != nil || checked && !slices.ContainsFunc(contract.CheckedRequests(), covers) {
		return unknown, false
	}
	for _, o := range operations {
		isList := o.name == listStreams || o.name == nameStreams
		if isList && text == o.name {
			return request{m, o, text, ""}, true
		}
		if !isList && covers(o.name+".*"+o.rest) {
			stream, _, _ := strings.Cut(strings.TrimPrefix(text, o.name+"."), ".")
			return request{m, o, text, stream}, true
		}
	}
	return unknown, false
}

// answerType returns the type of an answer, as JetStream names it.
func (r *request) answerType() string {
	return "io.nats.jetstream.api.v1." + strings.ReplaceAll(strings.ToLower(r.name), ".", "_") + "_response"
}
