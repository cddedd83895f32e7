package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats-server/v2/server"
)

// A block of messages is a list of records: the length of the record, with a bit that is set if it
// has headers; sequence; time; length of the subject; subject; headers and data; checksum. Records
// of deleted messages have a bit in their sequence, and so have tombstones, which name a message
// that was deleted.
const (
	recordHeader   = 22
	recordChecksum = 8
	maxRecord      = 32 << 20 // the server takes a longer one for damage
	headersBit     = 1 << 31
	erasedBit      = 1 << 63
	tombstoneBit   = 1 << 62
)

// blockRecord is one record of a block.
type blockRecord struct {
	size     int
	sequence uint64 // with the bits
}

// message returns the sequence if the record is a message, or one that was deleted.
func (r blockRecord) message() (sequence uint64, ok bool) {
	return r.sequence &^ erasedBit, r.sequence&tombstoneBit == 0 && r.sequence&^erasedBit != 0
}

// readRecord returns the record at the beginning of the data; ok is false if it is damaged. The
// key is that of hashOf.
func readRecord(key string, data []byte) (r blockRecord, ok bool) {
	if len(data) < recordHeader+recordChecksum {
		return r, false
	}
	length := binary.LittleEndian.Uint32(data)
	r.size = int(length &^ headersBit)
	r.sequence = binary.LittleEndian.Uint64(data[4:])
	content := recordHeader + int(binary.LittleEndian.Uint16(data[20:]))
	after := content
	if length&headersBit != 0 {
		after += 4 // the length of the headers is not part of the checksum
	}
	end := r.size - recordChecksum
	if r.size > maxRecord || r.size > len(data) || after > end {
		return r, false
	}
	sum := hashOf(key, data[4:20], data[recordHeader:content], data[after:end])
	return r, bytes.Equal(sum, data[end:r.size])
}

// blockCheck finds damaged records in the blocks of a stream, in their order.
type blockCheck struct {
	last    uint64           // sequence of the last good record
	open    bool             // records after it are damaged
	damaged integrity.Ranges // sequences that damaged records may have had
}

// block checks one block.
func (c *blockCheck) block(key string, data []byte) {
	for len(data) > 0 {
		if c.open && !c.mayFollow(data) {
			data = data[1:]
			continue
		}
		r, ok := readRecord(key, data)
		if !ok {
			c.open = true
			data = data[1:] // look for the next good record
			continue
		}
		if sequence, ok := r.message(); ok && sequence > c.last {
			c.close(sequence - 1)
			c.last = sequence
		}
		data = data[r.size:]
	}
}

// mayFollow reports whether a record after a damaged part may begin here, by its sequence. It saves
// most of the checksums.
func (c *blockCheck) mayFollow(data []byte) bool {
	const most = 1 << 32
	if len(data) < recordHeader {
		return false
	}
	sequence := binary.LittleEndian.Uint64(data[4:]) &^ (erasedBit | tombstoneBit)
	return sequence < c.last+most
}

// close ends the damaged part at a sequence.
func (c *blockCheck) close(last uint64) {
	if c.open {
		c.damaged = c.damaged.Join(integrity.Range{First: c.last + 1, Last: last})
	}
	c.open = false
}

// DamagedMessages reads all blocks of a stream and returns the sequences of which the records are
// damaged. Messages that were deleted may be among them. It waits for pause after each block, with
// its size. While the server writes to the stream, what it returns may be wrong: check it again.
func (b *Broker) DamagedMessages(
	ctx context.Context, stream string, pause func(context.Context, int),
) (integrity.Ranges, error) {
	dir := filepath.Join(b.streamDir(stream), blocksDir)
	blocks, err := listBlocks(dir)
	if err != nil {
		return nil, err
	}
	var c blockCheck
	for _, index := range blocks {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		data, err := readBlock(blockPath(dir, index))
		if os.IsNotExist(err) { // deleted meanwhile
			continue
		}
		if err != nil {
			c.open = true
			continue
		}
		c.block(fmt.Sprintf("%s-%d", stream, index), data)
		pause(ctx, len(data))
	}
	streams, ok := b.Streams()
	if !ok {
		return nil, errors.New("the store is closed or being opened")
	}
	for _, s := range streams {
		if s.Name == stream {
			c.close(s.Last)
			return c.damaged.Within(integrity.Ranges{{First: max(s.First, 1), Last: s.Last}}), nil
		}
	}
	return nil, nil
}

// HasMessages reports whether the directory of a stream has blocks of messages.
func (b *Broker) HasMessages(stream string) bool {
	blocks, err := listBlocks(filepath.Join(b.streamDir(stream), blocksDir))
	return err == nil && len(blocks) > 0
}

func blockPath(dir string, index uint32) string {
	return filepath.Join(dir, strconv.FormatUint(uint64(index), 10)+blockSuffix)
}

// listBlocks returns the numbers of the blocks in a directory, in their order.
func listBlocks(dir string) ([]uint32, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var blocks []uint32
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), blockSuffix); ok {
			if n, err := strconv.ParseUint(name, 10, 32); err == nil {
				blocks = append(blocks, uint32(n))
			}
		}
	}
	slices.Sort(blocks)
	return blocks, nil
}

// readBlock returns the records of a block, uncompressed.
func readBlock(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c server.CompressionInfo
	n, err := c.UnmarshalMetadata(data)
	if err != nil || c.Algorithm == server.NoCompression {
		return data, err
	}
	return c.Algorithm.Decompress(data[n:])
}

// SkipTo makes each stream continue after the given sequence, so that no sequence is used twice. It
// closes the store, writes to each stream what the server writes to remember a sequence whose
// message is gone, and opens the store. The messages stay; memory streams lose theirs.
func (b *Broker) SkipTo(last map[string]Position) error {
	return b.reopen(func() error {
		for stream, p := range last {
			if err := b.writeTombstone(stream, p); err != nil {
				return fmt.Errorf("stream %s: %w", stream, err)
			}
		}
		return nil
	})
}

// Position is the last sequence of a stream and the time of its message.
type Position struct {
	Last uint64
	Time time.Time // zero: not known
}

// writeTombstone adds a block to the stream that has a tombstone for the sequence alone.
func (b *Broker) writeTombstone(stream string, p Position) error {
	dir := filepath.Join(b.streamDir(stream), blocksDir)
	blocks, err := listBlocks(dir)
	if err != nil {
		return err
	}
	index := uint32(1)
	if len(blocks) > 0 {
		index = blocks[len(blocks)-1] + 1
	}
	record := make([]byte, recordHeader, recordHeader+recordChecksum)
	binary.LittleEndian.PutUint32(record, recordHeader+recordChecksum)
	binary.LittleEndian.PutUint64(record[4:], p.Last|tombstoneBit)
	if !p.Time.IsZero() {
		binary.LittleEndian.PutUint64(record[12:], uint64(p.Time.UnixNano()))
	}
	record = append(record, hashOf(fmt.Sprintf("%s-%d", stream, index), record[4:20])...)
	if err := writeSynced(blockPath(dir, index), record); err != nil {
		return err
	}
	// The index does not know the block; without it the server reads the blocks.
	if err := os.Remove(filepath.Join(dir, indexFile)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
