package worker

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// HandoverDescriptor is the inherited descriptor, a socket pair's end, over
// which the host hands a cell its secrets: never by environment or argument.
const HandoverDescriptor = 3

// Boot is everything that a cell worker is told at its start.
type Boot struct {
	Organization string `json:"organization"`
	// Epoch is that of the host's claim: it fences whoever owned the cell before.
	Epoch     int64          `json:"epoch"`
	Databases store.CellURLs `json:"databases"`
	Keys
	// Floors are how old the credentials of connections may be, as the key store
	// knows it.
	Floors map[string]config.Floor `json:"floors,omitempty"`
	// Engine is the engine's frontend, Token what opens the cell's namespace there.
	Engine string `json:"engine"`
	Token  string `json:"token"`
	// EngineCA verifies the engine's certificate, PEM; empty on loopback, where
	// the engine may speak in clear.
	EngineCA []byte `json:"engine_ca,omitempty"`
	// RunDir is the cell's own directory for sockets.
	RunDir string `json:"run_dir"`
	// ReadWrite are the directories of the cell's databases.
	ReadWrite []string `json:"read_write"`
	// ReadOnly are the files that its connections to the databases read.
	ReadOnly []string `json:"read_only,omitempty"`
	// Capacity bounds the runs carried at once.
	Capacity int `json:"capacity"`
	// Memory is what the worker may take, in bytes; zero for no bound.
	Memory int64 `json:"memory,omitempty"`
	// Idle is how long the cell has nothing to do before it asks to sleep; zero
	// for never.
	Idle time.Duration `json:"idle,omitempty"`
}

// Keys are the cell's keys, of each kind the current one first.
type Keys struct {
	// Private are the credential keys, Data the data keys, Audit the keys of
	// audit details.
	Private [][]byte `json:"private"`
	Data    [][]byte `json:"data"`
	Audit   [][]byte `json:"audit,omitempty"`
	// Changing says that a rotation is under way. Retiring and RetiringPairs
	// are the keys that nothing may stay under.
	Changing      bool         `json:"changing,omitempty"`
	Retiring      []seal.KeyID `json:"retiring,omitempty"`
	RetiringPairs []seal.KeyID `json:"retiring_pairs,omitempty"`

	// known are the ids of the keys, once they are open.
	known []seal.KeyID
}

// Clear overwrites the keys.
func (k *Keys) Clear() {
	for _, list := range [][][]byte{k.Private, k.Data, k.Audit} {
		for _, raw := range list {
			clear(raw)
		}
	}
}

// Notice is what the host tells a cell, one JSON value a line.
type Notice struct {
	Boot *Boot `json:"boot,omitempty"`
	// Token replaces the engine token before the old one expires.
	Token string `json:"token,omitempty"`
	// Keys replace the cell's keys.
	Keys *Keys `json:"keys,omitempty"`
	// Bell says that the door has something new.
	Bell bool `json:"bell,omitempty"`
	// Sleep lets a cell that asked for it end, if it still has nothing to do.
	Sleep bool `json:"sleep,omitempty"`
	// Drain asks the cell to finish what is live and to end.
	Drain bool `json:"drain,omitempty"`
}

// Report is what a cell tells the host.
type Report struct {
	Ready bool `json:"ready,omitempty"`
	// Missing are the parts of the sandbox that this machine does not allow.
	Missing []string `json:"missing,omitempty"`
	// Floors are to be kept in the key store: how old the credentials of
	// connections may be.
	Floors map[string]config.Floor `json:"floors,omitempty"`
	// Idle asks for the permission to sleep. It is repeated as long as it holds.
	Idle bool `json:"idle,omitempty"`
	// Asleep is the last report of a cell that ends because it has nothing to
	// do: it has looked after it was let. WakeAt is when it must run again by
	// itself; nil for never.
	Asleep bool       `json:"asleep,omitempty"`
	WakeAt *time.Time `json:"wake_at,omitempty"`
}

// Line sends and receives JSON values over a stream. Send is safe for
// concurrent use; Receive belongs to one reader.
type Line struct {
	mu  sync.Mutex
	enc *json.Encoder
	dec *json.Decoder
}

// NewLine returns a line over the stream.
func NewLine(rw io.ReadWriter) *Line {
	return &Line{enc: json.NewEncoder(rw), dec: json.NewDecoder(rw)}
}

// Send writes one value.
func (l *Line) Send(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(v); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the other end of the handover is gone: %w", err)
	}
	return nil
}

// Receive reads one value; its error is io.EOF when the other end closed.
func (l *Line) Receive(v any) error { return l.dec.Decode(v) }
