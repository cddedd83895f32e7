package appliance

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// minStep is the smallest step of the clock that is noticed. Daylight saving time is not one, and
	// time synchronization corrects smaller differences gradually.
	minStep = 2 * time.Second
	// clockInterval is how often the clock is compared at least.
	clockInterval = time.Second
)

// clock is the machine's clock. It notices steps: between two readings, the clock moved by another
// time than the monotonic clock, which cannot be set and does not advance while the machine is
// suspended. It is safe for concurrent use.
type clock struct {
	// source returns one reading of both: the time, and the monotonic time since some moment.
	source func() (now time.Time, monotonic time.Duration)
	log    hclog.Logger

	mu            sync.Mutex
	now           time.Time     // last reading
	monotonic     time.Duration // last reading
	stepped       time.Duration // sum of all steps
	forward, back float64       // number of steps
}

// newClock returns a clock. It counts steps from now on.
func newClock(log hclog.Logger) *clock {
	start := time.Now()
	c := &clock{log: log, source: func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start)
	}}
	c.now, c.monotonic = c.source()
	return c
}

// read returns the time, without a monotonic reading, and the sum of all steps before it.
func (c *clock) read() (now time.Time, stepped time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, monotonic := c.source()
	step := now.Sub(c.now) - (monotonic - c.monotonic)
	c.now, c.monotonic = now, monotonic
	if step.Abs() < minStep {
		return now, c.stepped
	}
	c.stepped += step
	if step > 0 {
		c.forward++
	} else {
		c.back++
	}
	c.log.Warn("clock was set, or the machine was suspended", "step", step.Round(time.Millisecond))
	return now, c.stepped
}

// checkNewestMessage logs if the newest stored message is from the future, or older than a stream of
// an adapter keeps messages. The clock is wrong then, or was.
func (a *Appliance) checkNewestMessage(ctx context.Context) error {
	streams, err := jsconfig.List(ctx, a.streams)
	if err != nil {
		return err
	}
	var newest time.Time
	maxAges := map[string]time.Duration{} // by the name of the stream
	for _, s := range streams {
		maxAges[s.Config.Name] = s.Config.MaxAge
		if s.State.LastTime.After(newest) {
			newest = s.State.LastTime
		}
	}
	now, _ := a.clock.read()
	difference := now.Sub(newest).Round(time.Second)
	if newest.IsZero() {
		return nil
	}
	if difference <= -minStep {
		a.opts.Log.Warn("clock is behind the newest stored message", "difference", -difference)
	}
	for _, cfg := range a.cfg.EnabledAdapters() {
		stream := a.streamOf(cfg.Name)
		if maxAge := maxAges[stream]; maxAge > 0 && difference > maxAge {
			a.opts.Log.Warn("the newest stored message is older than the max_age of a stream",
				"stream", stream, "difference", difference)
		}
	}
	return nil
}

// watchClock reads the clock until the appliance closes, so that every step is noticed.
func (a *Appliance) watchClock() {
	ticker := time.NewTicker(clockInterval)
	defer ticker.Stop()
	for {
		select {
		case <-a.quit:
			return
		case <-ticker.C:
			a.clock.read()
		}
	}
}

// metrics returns the number of steps in each direction.
func (c *clock) metrics() []prometheus.Collector {
	var all []prometheus.Collector
	for direction, count := range map[string]*float64{"forward": &c.forward, "back": &c.back} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "muster_clock_steps_total", Help: "Steps of the machine's clock by 2 seconds or more.",
			ConstLabels: prometheus.Labels{"direction": direction},
		}, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return *count
		}))
	}
	return all
}
