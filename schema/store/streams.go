package store

import (
	"encoding/hex"

	"github.com/tenonhq/tenon/schema"
)

// stream is what the events of one source for one version of its flow have in common.
type stream struct {
	namespace, source, kind, flow, digest string
	version                               int64
}

func newStreams(all *dictionaries) *dictionary[stream] {
	return newDictionary(all,
		"SELECT stream FROM streams WHERE source = ? AND kind = ? AND flow = ? AND flow_version = ? AND digest = ? AND namespace = ?",
		"INSERT INTO streams (source, kind, flow, flow_version, digest, namespace) VALUES (?, ?, ?, ?, ?, ?)",
		func(s stream) []any { return []any{s.source, s.kind, s.flow, s.version, s.digest, s.namespace} })
}

func (e Event) stream() stream {
	return stream{namespace: e.Namespace, source: e.Source, kind: e.Kind, flow: e.Flow, digest: e.Digest, version: int64(e.FlowVersion)}
}

// digestLength is that of a dedupe key under which an event can come again.
const digestLength = 64

// keptKey is what is kept of a dedupe key: of a digest the first half, 128 bits, which
// tell messages apart; of an event's id, under which nothing repeats it, all.
func keptKey(dedupe string) ([]byte, error) {
	if len(dedupe) == digestLength {
		if key, err := hex.DecodeString(dedupe[:digestLength/2]); err == nil {
			return key, nil
		}
	}
	if key, err := schema.PackID(schema.PrefixEvent, dedupe); err == nil {
		return key, nil
	}
	return nil, schema.Errorf(schema.CodeInvalid, "a dedupe key is the event's id, or %d hexadecimal digits", digestLength)
}
