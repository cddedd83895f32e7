package adapter

// queue holds messages in the order of arrival. Workers start on them in that order and convert
// them in parallel; converted messages leave in that order again. It is guarded by the adapter's
// mutex.
type queue struct {
	messages []*message // the oldest first
	started  int        // how many of them, from the front, workers convert or have converted
}

// push appends a received message.
func (q *queue) push(m *message) { q.messages = append(q.messages, m) }

// startNext marks the next message as started and returns it, or nil if all are started. The
// message keeps its place in the queue.
func (q *queue) startNext() *message {
	if q.started == len(q.messages) {
		return nil
	}
	m := q.messages[q.started]
	q.started++
	return m
}

// popConverted removes and returns the oldest message; nil if it is not converted yet.
func (q *queue) popConverted() *message {
	if q.started == 0 || !q.messages[0].converted {
		return nil
	}
	m := q.messages[0]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	q.started--
	return m
}
