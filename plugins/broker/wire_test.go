package broker

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSealedWireIsFinal: once the count was taken nothing can leave any more,
// not even the goodbye of TLS.
func TestSealedWireIsFinal(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	w := &wire{Conn: near}
	received := make(chan string, 1)
	go func() {
		buffer := make([]byte, 16)
		n, _ := far.Read(buffer)
		received <- string(buffer[:n])
	}()
	_, err := w.Write([]byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, "hello", <-received)
	assert.Equal(t, int64(5), w.count())
	assert.Equal(t, int64(5), w.seal())
	_, err = w.Write([]byte("more"))
	require.ErrorIs(t, err, errSealed)
	assert.Equal(t, int64(5), w.seal())
}
