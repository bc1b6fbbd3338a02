package wire_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/tenonhq/tenon/plugins/internal/wire"
)

// full is a connector that allows no stream, as HTTP/2 lets it: whoever opens one
// waits for as long as the context lasts.
type full struct{ wire.ConnectorClient }

func (full) Run(ctx context.Context, _ ...grpc.CallOption) (wire.Connector_RunClient, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestNoStreamIsAllowed: a connector that lets no run begin is as unresponsive as one
// that ends none.
func TestNoStreamIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := wire.RunAction(ctx, full{}, &wire.Invoke{Action: "a"}, time.Second, nil)
		require.ErrorIs(t, err, wire.ErrUnresponsive)
		require.Equal(t, time.Minute+time.Second, time.Since(began))
	})
}
