package adapter

import "sync"

// Sizes of buffers that are used again: multiples of sizeStep up to mostKept.
const (
	sizeStep = 1 << 10
	mostKept = 64 << 10
)

// buffers are byte slices that can be used again, as long as the garbage collector leaves
// them. In a steady load messages so go through memory that is warm already.
type buffers struct {
	pools [mostKept/sizeStep + 1]sync.Pool
}

// get is a slice of that length, with any content.
func (b *buffers) get(size int) []byte {
	class := (size + sizeStep - 1) / sizeStep
	if class >= len(b.pools) {
		return make([]byte, size)
	}
	if kept, ok := b.pools[class].Get().(*[]byte); ok {
		return (*kept)[:size]
	}
	return make([]byte, size, class*sizeStep)
}

func (b *buffers) put(slice []byte) {
	if c := cap(slice); c%sizeStep == 0 && c <= mostKept {
		b.pools[c/sizeStep].Put(&slice)
	}
}
