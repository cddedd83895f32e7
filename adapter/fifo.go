package adapter

// maxKept is how many places an empty fifo keeps for later.
const maxKept = 64

// fifo is a queue in a ring: what is added and removed in turn takes no new memory.
type fifo[T any] struct {
	ring  []T // its length is a power of two
	first int // index of the first item
	count int
}

// at returns the place of the item with a number; the first item has number 0.
func (f *fifo[T]) at(number int) *T { return &f.ring[(f.first+number)&(len(f.ring)-1)] }

// push adds an item at the end.
func (f *fifo[T]) push(item T) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.count++
	*f.at(f.count - 1) = item
}

func (f *fifo[T]) grow() {
	ring := make([]T, max(1, 2*len(f.ring)))
	n := copy(ring, f.ring[f.first:])
	copy(ring[n:], f.ring[:f.first])
	f.ring, f.first = ring, 0
}

// pop removes and returns the first item. There must be one.
func (f *fifo[T]) pop() T {
	item := f.clear(0)
	f.first = (f.first + 1) & (len(f.ring) - 1)
	f.shrink()
	return item
}

// popLast removes and returns the last item. There must be one.
func (f *fifo[T]) popLast() T {
	item := f.clear(f.count - 1)
	f.shrink()
	return item
}

// clear empties the place of an item that is removed, and returns the item.
func (f *fifo[T]) clear(number int) (item T) {
	place := f.at(number)
	item, *place = *place, item
	return item
}

// shrink counts an item less, and gives the memory of a long queue back once it is empty.
func (f *fifo[T]) shrink() {
	f.count--
	if f.count == 0 && len(f.ring) > maxKept {
		*f = fifo[T]{}
	}
}
