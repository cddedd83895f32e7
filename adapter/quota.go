package adapter

// quota divides a limit among peers without counting them: a peer may use half of what no peer uses.
// A peer that is alone can use a third of the limit, each of n peers 1/(n+2) of it, and something is
// always left for the next one. This is a dynamic threshold as in the memory of network switches.
type quota struct {
	limit int64
	used  int64 // by all peers
}

// exhausted reports whether no peer may use more.
func (q *quota) exhausted() bool { return q.used >= q.limit }

// full reports whether a peer that uses mine has all that it may use. One that uses nothing may always use something.
func (q *quota) full(mine int64) bool { return mine > 0 && 2*mine >= q.limit-q.used }

// free reports whether a peer whose quota was full may use more again: it has used up half of it, so that it does
// not stop and start for each message.
func (q *quota) free(mine int64) bool { return mine == 0 || 4*mine <= q.limit-q.used }
