package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/muster-appliance/muster/internal/contract"
)

// source is where an edge read an event: the sequence in its stream of events, and the incarnation of its
// streams. Sequences of different incarnations cannot be compared.
type source struct {
	incarnation interned // the zero value: not known
	sequence    uint64
}

// parseSource reads contract.HeaderSource. A value that cannot be read is the zero source.
func parseSource(header string) source {
	fields := strings.Fields(header)
	if len(fields) < 4 || len(fields[3]) > maxIncarnation {
		return source{}
	}
	sequence, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return source{}
	}
	return newSource(fields[3], sequence)
}

// maxIncarnation is the length of the longest incarnation, in bytes.
const maxIncarnation = 64

func newSource(incarnation string, sequence uint64) source {
	return source{unique.Make(incarnation), sequence}
}

// header returns contract.HeaderSource for an event that this appliance stores because of a snapshot.
func (s source) header(site string, at time.Time) string {
	return fmt.Sprintf("%s %d %s %s %d", contract.StreamFleet, s.sequence, site, s.incarnation.Value(), at.UnixMilli())
}

// isBefore reports whether s was read before other. It is false if that is not known.
func (s source) isBefore(other source) bool {
	return s.incarnation != interned{} && s.incarnation == other.incarnation && s.sequence < other.sequence
}
