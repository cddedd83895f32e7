package forward

import "time"

// meterWindow is the time over which a rateMeter counts.
const meterWindow = 10 * time.Second

// rateMeter measures bytes per second, over the last one to two windows.
type rateMeter struct {
	begin   time.Time // of the current window
	bytes   int       // in the current window
	earlier int       // in the window before
}

// add counts bytes.
func (r *rateMeter) add(bytes int, now time.Time) {
	r.roll(now)
	r.bytes += bytes
}

// perSecond returns the mean of late.
func (r *rateMeter) perSecond(now time.Time) float64 {
	r.roll(now)
	return float64(r.bytes+r.earlier) / (meterWindow + now.Sub(r.begin)).Seconds()
}

// roll begins a new window if the current one is over.
func (r *rateMeter) roll(now time.Time) {
	switch passed := now.Sub(r.begin); {
	case passed < 0 || passed >= 2*meterWindow:
		r.begin, r.bytes, r.earlier = now, 0, 0
	case passed >= meterWindow:
		r.begin, r.bytes, r.earlier = r.begin.Add(meterWindow), 0, r.bytes
	}
}
