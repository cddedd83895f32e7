package adapter

import "github.com/muster-appliance/muster/internal/inproc"

// output is a message to be published: its headers as text, and behind them its data.
type output struct {
	subject string
	text    []byte
	split   int // where the data begins
}

func (o *output) header() []byte { return o.text[:o.split] }
func (o *output) data() []byte   { return o.text[o.split:] }

// headersEnd takes the headers, which the buffer begins with; data is appended to text.
func (o *output) headersEnd(h inproc.Header) {
	o.text = h.End()
	o.split = len(o.text)
}
