package starter

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestOrders: a starter starts what it is for, with what came along, and passes
// on nothing but the signals that end a child.
func TestOrders(t *testing.T) {
	programs := []string{"tenon-cell"}
	for text, files := range map[string]int{
		`{"id":1,"verb":"start","program":"tenon-cell","files":1}`:                             1,
		`{"id":1,"verb":"start","program":"tenon-cell","stdout":true,"stderr":true,"files":1}`: 3,
		`{"id":1,"verb":"signal","signal":15}`:                                                 0,
	} {
		_, err := parse([]byte(text), programs, files)
		require.NoError(t, err, text)
	}
	for text, files := range map[string]int{
		`{"id":1,"verb":"start","program":"tenon"}`:                 0,
		`{"id":1,"verb":"start","program":"../bin/tenon-cell"}`:     0,
		`{"id":1,"verb":"start","program":"/bin/sh"}`:               0,
		`{"id":1,"verb":"start","program":""}`:                      0,
		`{"id":1,"verb":"start","program":"tenon-cell","files":1}`:  0,
		`{"id":1,"verb":"start","program":"tenon-cell","files":-1}`: 0,
		`{"id":1,"verb":"signal","signal":19}`:                      0,
		`{"id":1,"verb":"signal","signal":15,"program":"x"}`:        1,
		`{"id":1,"verb":"execute","program":"tenon-cell"}`:          0,
		`{"verb":"start","program":"tenon-cell"}`:                   0,
		`[]`: 0,
	} {
		_, err := parse([]byte(text), programs, files)
		require.Error(t, err, text)
	}
}

// FuzzOrder: whatever is said, what comes out is within the rules.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(`{"id":1,"verb":"start","program":"tenon-cell","files":1}`), 1)
	f.Add([]byte(`{"id":1,"verb":"signal","signal":9}`), 0)
	f.Fuzz(func(t *testing.T, packet []byte, files int) {
		o, err := parse(packet, []string{"tenon-cell"}, files)
		if err != nil {
			return
		}
		assert.NotZero(t, o.ID)
		switch o.Verb {
		case verbStart:
			assert.Equal(t, "tenon-cell", o.Program)
			assert.Equal(t, files, o.count())
		case verbSignal:
			assert.Contains(t, []unix.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGINT}, unix.Signal(o.Signal))
		default:
			t.Errorf("the verb %q", o.Verb)
		}
	})
}
