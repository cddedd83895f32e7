package adapter

// queue holds messages in the order in which they came. Workers take them in that order,
// parse them side by side, and give them back; they leave in the order in which they came.
// It is guarded by the adapter's mutex.
type queue struct {
	messages []*message // from the oldest that has not left
	taken    int        // so many of them are with a worker, or parsed
}

func (q *queue) put(m *message) { q.messages = append(q.messages, m) }

// take is the next message to parse, or nil where all are taken.
func (q *queue) take() *message {
	if q.taken == len(q.messages) {
		return nil
	}
	m := q.messages[q.taken]
	q.taken++
	return m
}

// leave is the oldest message, if it is parsed.
func (q *queue) leave() *message {
	if q.taken == 0 || !q.messages[0].parsed {
		return nil
	}
	m := q.messages[0]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	q.taken--
	return m
}
