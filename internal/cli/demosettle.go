package cli

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// settle ends the lab once the hub has everything that the nodes registered, and prints the ledgers.
func (s *siteDemo) settle() error {
	var sent, failed uint64
	for _, site := range s.sites {
		site.nodes.Close()
		sent, failed = sent+site.nodes.Sent(), failed+site.nodes.Failed()
	}
	s.drain()
	forwarded := s.forwarded()
	err := s.close()
	if err == nil {
		err = s.printLedger(s.total(), sent, failed)
	}
	if err == nil {
		err = s.printForwarded(forwarded)
	}
	return err
}

// drain waits until the edges have forwarded everything, and received nothing new for several ticks, at most
// drainTimeout.
func (s *siteDemo) drain() {
	timeout := time.After(drainTimeout)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	received, still := s.total().Received, 0
	for still < drainedTicks {
		still++
		if now := s.total().Received; s.waiting() || now != received {
			received, still = now, 0
		}
		select {
		case <-timeout:
			return
		case <-ticker.C:
		}
	}
}

// drainedTicks is after how many ticks without a message everything that nodes have sent has arrived.
const drainedTicks = 3

// waiting reports whether a message is on its way into a stream of an edge, or to the hub.
func (s *siteDemo) waiting() bool {
	waiting := s.total().Pending > 0
	for _, stream := range s.forwarded() {
		waiting = waiting || stream.Behind() > 0
	}
	return waiting
}

// forwarded returns, by stream, the sum of what became of the messages that the edges have read.
func (s *siteDemo) forwarded() map[string]uplink.Stream {
	sums := map[string]uplink.Stream{}
	for _, site := range s.sites {
		for _, hub := range site.edge.Forwards() {
			for name, one := range hub.Streams {
				sum := sums[name]
				sum.Read += one.Read
				sum.Forwarded += one.Forwarded
				sum.Duplicate += one.Duplicate
				sum.Unchanged += one.Unchanged
				sum.Sampled += one.Sampled
				sum.Superseded += one.Superseded
				sum.Rejected += one.Rejected
				sum.Pending += one.Pending
				sum.Unread += one.Unread
				sums[name] = sum
			}
		}
	}
	return sums
}

// printForwarded prints what became of the messages that the edges have read. The exit status is 1 if one has no
// outcome.
func (s *siteDemo) printForwarded(streams map[string]uplink.Stream) error {
	failed := false
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		l := streams[name]
		fmt.Fprintf(s.out, "to the hub: %s %d read = %d forwarded + %d duplicate + %d unchanged + %d sampled + "+
			"%d superseded + %d rejected + %d pending\n",
			name, l.Read, l.Forwarded, l.Duplicate, l.Unchanged, l.Sampled, l.Superseded, l.Rejected, l.Pending)
		failed = failed || !l.Balanced() || l.Behind() > 0
	}
	if failed {
		fmt.Fprintln(s.out, "the hub does NOT have everything: messages have no outcome")
		return silentError{statusFailed}
	}
	return nil
}

// printSites prints the addresses, and what to try.
func (s *siteDemo) printSites() {
	console := "http://" + s.hub.ConsoleAddress()
	fmt.Fprintf(s.out, `A lab with a hub and %d edges is running. Its data is temporary and is removed when it ends.

  the hub            %s
`, len(s.sites), console)
	for _, site := range s.sites {
		fmt.Fprintf(s.out, "  the edge of %-6s http://%s   nodes connect to nats://%s\n",
			site.name, site.edge.ConsoleAddress(), site.edge.BrokerAddress())
	}
	fmt.Fprintf(s.out, `
Try these commands in another terminal:

  %[1]s sites --server %[2]s
  %[1]s nodes --site %[3]s --server %[2]s
  %[1]s events --follow --server %[2]s
  %[1]s status --server http://%[4]s
  curl %[2]s/metrics | grep muster_site

`, commandName(), console, s.sites[0].name, s.sites[0].edge.ConsoleAddress())
}
