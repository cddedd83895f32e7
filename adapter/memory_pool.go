package adapter

import "sync"

// Sizes of the byte slices that are used again: multiples of sizeStep up to maxReused.
const (
	sizeStep  = 1 << 10
	maxReused = 64 << 10
)

// memoryPool keeps byte slices for reuse, until the garbage collector frees them. Under a steady
// load messages then go through memory that is already in the processor's cache. It is safe for
// concurrent use.
type memoryPool struct {
	pools [maxReused/sizeStep + 1]sync.Pool // by size in steps
}

// get returns a slice of size bytes with any content.
func (p *memoryPool) get(size int) []byte {
	class := (size + sizeStep - 1) / sizeStep
	if class >= len(p.pools) {
		return make([]byte, size)
	}
	if reused, ok := p.pools[class].Get().(*[]byte); ok {
		return (*reused)[:size]
	}
	return make([]byte, size, class*sizeStep)
}

// put gives a slice back; the caller must not use it any more.
func (p *memoryPool) put(slice []byte) {
	if c := cap(slice); c%sizeStep == 0 && c <= maxReused {
		p.pools[c/sizeStep].Put(&slice)
	}
}
