package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

// Names in the directory of a stream. The server does not export them.
const (
	blocksDir     = "msgs"
	consumersDir  = "obs"
	consumerState = "o.dat"
	indexFile     = "index.db"
	blockSuffix   = ".blk"
)

// damagedSuffix is added to the name of a file of the store that the server cannot use.
const damagedSuffix = ".damaged"

// streamDir returns the directory of a stream.
func (b *Broker) streamDir(stream string) string {
	return filepath.Join(b.opts.StoreDir, server.JetStreamStoreDir, account, "streams", stream)
}

func (b *Broker) consumerDir(stream, consumer string) string {
	return filepath.Join(b.streamDir(stream), consumersDir, consumer)
}

// hashOf returns the server's checksum of the parts. The key is the name of the stream, the
// stream and the consumer, or the stream and the block.
func hashOf(key string, parts ...[]byte) []byte {
	sum := sha256.Sum256([]byte(key))
	h, err := highwayhash.New64(sum[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

// readMeta returns the configuration in the directory of a stream or consumer. The key is that of
// hashOf. It returns an error if the server would not use the file, or if it is damaged.
func readMeta(dir, key string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, server.JetStreamMetaFile))
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(dir, server.JetStreamMetaFileSum))
	switch {
	case err != nil:
		return "", err
	case string(sum) != hex.EncodeToString(hashOf(key, content)):
		return "", errors.New("wrong checksum")
	case !json.Valid(content):
		return "", errors.New("not JSON")
	}
	return string(content), nil
}

// writeMeta replaces the configuration in the directory of a stream or consumer.
func writeMeta(dir, key, content string) error {
	sum := hex.EncodeToString(hashOf(key, []byte(content)))
	return errors.Join(
		writeSynced(filepath.Join(dir, server.JetStreamMetaFile), []byte(content)),
		writeSynced(filepath.Join(dir, server.JetStreamMetaFileSum), []byte(sum)))
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// setAside renames a file that the server cannot use, so that it can write a new one.
func setAside(path string) error {
	err := os.Rename(path, path+damagedSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// metaCache remembers configurations that were read, so that files are read again only if they changed.
type metaCache map[string]cachedMeta // by directory

type cachedMeta struct {
	modified [2]time.Time // of the configuration and its checksum
	content  string       // empty: damaged
}

// read returns what readMeta returns, or an empty text.
func (c metaCache) read(dir, key string) string {
	var modified [2]time.Time
	for i, name := range []string{server.JetStreamMetaFile, server.JetStreamMetaFileSum} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			modified[i] = info.ModTime()
		}
	}
	if have, ok := c[dir]; ok && have.modified == modified {
		return have.content
	}
	content, _ := readMeta(dir, key) // empty after an error
	c[dir] = cachedMeta{modified, content}
	return content
}
