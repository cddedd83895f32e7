package broker

import (
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/rejected"
)

// How the server reports a publish or subscription that it refuses for lack of permission: a line that
// begins with the description of the connection and ends with one of these. The subject follows as an
// argument, or quoted in the line.
const (
	publishViolation   = ` - Publish Violation - Subject %q`
	replyViolation     = ` - Publish Violation - Reply %q`
	subscribeViolation = ` - Subscription Violation - Subject "`
)

// violation is a publish or subscription that the server refused for lack of permission.
type violation struct {
	id            uint64 // of the connection
	address       string // host and port
	kind, subject string
}

// parseViolation reads a line of the server; ok is false if it reports no violation. A client chooses the
// name in the description of its connection, the subject, the queue and the subscription's id. None of
// them can make the line look like one about another connection or of another kind: the description begins
// with the connection's id, the name is quoted, and the others contain no blank.
func parseViolation(format string, args []any) (v violation, ok bool) {
	switch {
	case strings.HasSuffix(format, publishViolation):
		v.kind, v.subject = rejected.Publish, subjectArg(args)
	case strings.HasSuffix(format, replyViolation):
		v.kind, v.subject = rejected.Reply, subjectArg(args)
	default:
		i := strings.LastIndex(format, subscribeViolation)
		if i < 0 {
			return v, false
		}
		quoted, err := strconv.QuotedPrefix(format[i+len(subscribeViolation)-1:])
		if err != nil {
			return v, false
		}
		v.subject, _ = strconv.Unquote(quoted) // QuotedPrefix has checked it
		v.kind = rejected.Subscribe
	}
	if l := listenerIn(format); l != listenerNATS && l != listenerWebSocket {
		return v, false
	}
	address, rest, _ := strings.Cut(format, " - ")
	v.address = address[strings.LastIndexByte(address, '/')+1:] // before it, what a header says
	id, _, _ := strings.Cut(rest[strings.IndexByte(rest, ':')+1:], " ")
	var err error
	v.id, err = strconv.ParseUint(id, 10, 64)
	return v, err == nil
}

// leafViolation ends the line about a publish or subscription of a leaf node that is refused. The server then ends the
// connection.
const leafViolation = ` - %s Violation on %q - Check other side configuration`

// parseLeafViolation does what parseViolation does, for a leaf node.
func parseLeafViolation(format string, args []any) (v violation, ok bool) {
	description, ok := strings.CutSuffix(format, leafViolation)
	if !ok || len(args) != 2 {
		return v, false
	}
	for _, mark := range leafMarks {
		if address, id, found := strings.Cut(description, mark); found {
			v.address = address[strings.LastIndexByte(address, '/')+1:]
			v.kind, v.subject = rejected.Publish, subjectArg(args[1:])
			if args[0] != "Publish" {
				v.kind = rejected.Subscribe
			}
			id, _, _ = strings.Cut(id, " ")
			var err error
			v.id, err = strconv.ParseUint(id, 10, 64)
			return v, err == nil
		}
	}
	return v, false
}

// subjectArg returns the subject among the arguments of a line, of which little more than maxViolationSubject
// bytes. It copies because the server reuses the buffer.
func subjectArg(args []any) string {
	if len(args) != 1 {
		return ""
	}
	switch s := args[0].(type) {
	case []byte:
		return string(s[:min(len(s), maxViolationSubject+1)])
	case string:
		return s
	}
	return ""
}

// maxViolationSubject is how many bytes of a refused subject are kept.
const maxViolationSubject = 200

// generalize returns a refused subject as the table has it: with wildcards in place of random tokens and
// names, so that the subjects are few, and cut to maxViolationSubject bytes.
func generalize(kind, name string) string {
	if len(name) > maxViolationSubject {
		name = name[:maxViolationSubject] + "…"
	}
	tokens := strings.Split(strings.ToValidUTF8(name, "�"), ".")
	if keep := keptTokens(kind, tokens); keep > 0 && keep < len(tokens) {
		tokens = append(tokens[:keep], ">")
	}
	for i, token := range tokens {
		if isRandom(token) {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// keptTokens returns how many tokens of a subject tell what it is for; the rest varies. 0: all.
func keptTokens(kind string, tokens []string) int {
	token := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	api := token(0) == "$JS" && token(1) == "API"
	switch {
	case strings.HasPrefix(token(0), "_INBOX"):
		return 1
	case token(0) == "choria" && token(1) == "sites":
		return 3 // site
	case api && token(2) == "DIRECT" && token(5) == "choria" && token(6) == "sites":
		return 8 // stream and site
	case token(1) == "reply", token(1) == "node" && kind == rejected.Publish:
		return 2
	case token(0) == "$JS" && (token(1) == "ACK" || token(1) == "FC"):
		return 3 // stream
	case api && token(2) == "CONSUMER" && (token(3) == "DURABLE" || token(3) == "MSG"):
		return 6 // stream
	case api && (token(2) == "CONSUMER" || token(2) == "DIRECT"):
		return 5 // stream
	}
	return 0
}

// isRandom reports whether a token looks like a number, a hash, a UUID or one of NATS's unique ids.
func isRandom(token string) bool {
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	consistsOf := func(characters string) bool { return strings.Trim(token, characters) == "" }
	switch {
	case token == "" || !strings.ContainsAny(token, digits):
		return false
	case len(token) < 16:
		return consistsOf(digits)
	case len(token) < 22:
		return consistsOf(digits + "abcdefABCDEF-")
	default:
		return consistsOf(digits+"abcdefABCDEF-") || consistsOf(digits+lower+upper+"_") &&
			strings.ContainsAny(token, lower) && strings.ContainsAny(token, upper)
	}
}

// asAPI returns a subject as the node or client has published it: NATS's errors have the one that it is mapped to.
func asAPI(name string) string {
	if rest, ok := strings.CutPrefix(name, contract.SubjectChecked); ok {
		return contract.PrefixAPI + rest
	}
	return name
}
