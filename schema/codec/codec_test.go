package codec_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/seal"
)

const canary = "canary-9d21f0"

func newKeys(t testing.TB) seal.DataKeys {
	t.Helper()
	key, err := seal.NewDataKey()
	require.NoError(t, err)
	return seal.NewDataKeys(key)
}

// Invariant 3: nothing of a payload, its metadata included, is left readable,
// and the cell reads all of it back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := codec.New("org_a", newKeys(t))
	payloads := []*commonpb.Payload{
		{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "type": []byte(canary)}, Data: []byte(`"` + canary + `"`)},
		{Data: []byte(strings.Repeat(canary, 10_000))},
		{Data: bytes.Repeat([]byte{0}, 1<<20)},
		{},
		nil,
	}
	sealed, err := c.Encode(payloads)
	require.NoError(t, err)
	for _, p := range sealed {
		assert.True(t, codec.Sealed(p))
		kept, err := proto.Marshal(p)
		require.NoError(t, err)
		assert.NotContains(t, string(kept), canary)
	}
	assert.Less(t, len(sealed[1].GetData()), 5_000, "what repeats is compressed")
	opened, err := c.Decode(sealed)
	require.NoError(t, err)
	for i, p := range opened {
		want := payloads[i]
		if want == nil {
			want = &commonpb.Payload{}
		}
		assert.True(t, proto.Equal(want, p), "payload %d", i)
	}
}

// Invariant 3: moved to another organization, sealed with another key,
// changed, cut, or never sealed, a payload does not open.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	sealed, err := codec.New("org_a", keys).Encode([]*commonpb.Payload{{Data: []byte(canary)}})
	require.NoError(t, err)
	good := sealed[0]
	with := func(change func([]byte) []byte) *commonpb.Payload {
		p := proto.CloneOf(good)
		p.Data = change(p.GetData())
		return p
	}
	for name, attempt := range map[string]struct {
		codec   converter.PayloadCodec
		payload *commonpb.Payload
	}{
		"another organization": {codec.New("org_b", keys), good},
		"another key":          {codec.New("org_a", newKeys(t)), good},
		"plain":                {codec.New("org_a", keys), &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"x"`)}},
		"nothing":              {codec.New("org_a", keys), nil},
		"empty":                {codec.New("org_a", keys), with(func([]byte) []byte { return nil })},
		"cut":                  {codec.New("org_a", keys), with(func(b []byte) []byte { return b[:len(b)-1] })},
		"longer":               {codec.New("org_a", keys), with(func(b []byte) []byte { return append(b, 0) })},
		"changed": {codec.New("org_a", keys), with(func(b []byte) []byte {
			b[len(b)-1] ^= 1
			return b
		})},
	} {
		_, err := attempt.codec.Decode([]*commonpb.Payload{attempt.payload})
		require.Error(t, err, name)
		assert.Equal(t, schema.CodeRefused, schema.CodeOf(err), name)
		assert.NotContains(t, err.Error(), canary, name)
	}
}

// A payload that was sealed with an older key still opens.
func TestOlderKeyOpens(t *testing.T) {
	t.Parallel()
	older, err := seal.NewDataKey()
	require.NoError(t, err)
	newer, err := seal.NewDataKey()
	require.NoError(t, err)
	sealed, err := codec.New("org_a", seal.NewDataKeys(older)).Encode([]*commonpb.Payload{{Data: []byte("x")}})
	require.NoError(t, err)
	opened, err := codec.New("org_a", seal.NewDataKeys(newer, older)).Decode(sealed)
	require.NoError(t, err)
	assert.Equal(t, "x", string(opened[0].GetData()))
}

// A failure is sealed, stays sealed while it is read, and is read whole.
func TestFailureStaysSealed(t *testing.T) {
	t.Parallel()
	c := codec.FailureConverter("org_a", newKeys(t))
	failure := c.ErrorToFailure(temporal.NewApplicationErrorWithCause(canary, "type", errors.New("because "+canary), canary))
	for range 2 {
		kept, err := proto.Marshal(failure)
		require.NoError(t, err)
		require.NotContains(t, string(kept), canary)
		require.ErrorContains(t, c.FailureToError(failure), canary)
	}
}

func post(t *testing.T, c converter.PayloadCodec, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	codec.Endpoint(c).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	return recorder
}

// The endpoint speaks the SDK's own protocol, and leaves alone what is not sealed.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	server := httptest.NewServer(codec.Endpoint(codec.New("org_a", keys)))
	t.Cleanup(server.Close)
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: server.URL + "/v1/codec"})
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"x"`)}
	sealed, err := remote.Encode([]*commonpb.Payload{plain})
	require.NoError(t, err)
	require.True(t, codec.Sealed(sealed[0]))
	opened, err := remote.Decode([]*commonpb.Payload{sealed[0], plain})
	require.NoError(t, err)
	assert.True(t, proto.Equal(plain, opened[0]))
	assert.True(t, proto.Equal(plain, opened[1]))

	foreign, err := codec.New("org_b", keys).Encode([]*commonpb.Payload{plain})
	require.NoError(t, err)
	_, err = remote.Decode(foreign)
	require.ErrorContains(t, err, "does not open")

	c := codec.New("org_a", keys)
	assert.Equal(t, http.StatusBadRequest, post(t, c, "/decode", "{").Code)
	answer := post(t, c, "/decode", `{"payloads": "`+canary+`"}`)
	assert.Equal(t, http.StatusBadRequest, answer.Code)
	assert.NotContains(t, answer.Body.String(), canary)
	assert.Equal(t, http.StatusNotFound, post(t, c, "/else", "{}").Code)
}

// FuzzDecode: no bytes make the codec panic or pass off what it did not seal.
func FuzzDecode(f *testing.F) {
	key, err := seal.NewDataKey()
	require.NoError(f, err)
	c := codec.New("org_a", seal.NewDataKeys(key))
	sealed, err := c.Encode([]*commonpb.Payload{{Data: bytes.Repeat([]byte("x"), 2000)}})
	require.NoError(f, err)
	f.Add(sealed[0].GetData())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Equal(data, sealed[0].GetData()) {
			return
		}
		_, err := c.Decode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte(codec.Encoding)}, Data: data}})
		require.Error(t, err)
	})
}
