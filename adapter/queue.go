package adapter

// queue holds the messages of one peer in the order of arrival. Workers start on them in that order
// and convert them in parallel; converted messages leave in that order again. It is guarded by the
// adapter's mutex.
type queue struct {
	messages fifo[*message]
	started  int // how many of them, from the front, workers convert or have converted
}

// push appends a received message.
func (q *queue) push(m *message) { q.messages.push(m) }

// unstarted returns how many messages no worker has started on.
func (q *queue) unstarted() int { return q.messages.count - q.started }

// startNext marks the next message as started and returns it, or nil if all are started. The
// message keeps its place in the queue.
func (q *queue) startNext() *message {
	if q.unstarted() == 0 {
		return nil
	}
	m := *q.messages.at(q.started)
	q.started++
	return m
}

// popConverted removes and returns the oldest message; nil if it is not converted yet.
func (q *queue) popConverted() *message {
	if q.started == 0 || !(*q.messages.at(0)).converted {
		return nil
	}
	q.started--
	return q.messages.pop()
}

// popNewest removes and returns the newest message; nil if a worker has started on it.
func (q *queue) popNewest() *message {
	if q.unstarted() == 0 {
		return nil
	}
	return q.messages.popLast()
}
