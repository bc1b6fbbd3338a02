package codec

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/seal"
)

// Encoding is the metadata encoding of a sealed payload.
const Encoding = "binary/tenon-sealed"

// Table is the table of the place that payloads are sealed for. Row and field
// stay empty: a codec endpoint never learns which workflow a payload is of.
const Table = "temporal"

// sealed is a payload codec of one cell.
type sealed struct {
	place seal.Place
	keys  seal.DataKeys
}

var _ converter.PayloadCodec = (*sealed)(nil)

// New returns the payload codec of a cell. Encode seals every payload with the
// current key; Decode refuses, with schema.CodeRefused, a payload that was not
// sealed by this cell (a plain one included): a worker acts on its own
// payloads only.
func New(org string, keys seal.DataKeys) converter.PayloadCodec {
	return &sealed{place: seal.Place{Organization: org, Table: Table}, keys: keys}
}

// Encode implements [converter.PayloadCodec].
func (s *sealed) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "a payload cannot be marshalled: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding)},
			Data:     s.keys.Seal(s.place, pack.Pack(plain)),
		}
	}
	return out, nil
}

// Decode implements [converter.PayloadCodec].
func (s *sealed) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if !Sealed(p) {
			return nil, schema.Errorf(schema.CodeRefused, "the payload is not sealed by this cell")
		}
		packed, err := s.keys.Open(s.place, p.GetData())
		if err != nil {
			return nil, schema.Errorf(schema.CodeRefused, "the payload does not open with this cell's keys: %w", err)
		}
		plain, err := pack.Unpack(packed)
		if err != nil {
			return nil, err
		}
		opened := new(commonpb.Payload)
		if err := proto.Unmarshal(plain, opened); err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the sealed payload is malformed: %w", err)
		}
		out[i] = opened
	}
	return out, nil
}

// Sealed says whether a payload claims to be sealed; only Decode proves it.
func Sealed(p *commonpb.Payload) bool {
	return string(p.GetMetadata()[converter.MetadataEncoding]) == Encoding
}

// DataConverter returns the data converter of a cell's clients and workers:
// the SDK's default one behind [New].
func DataConverter(org string, keys seal.DataKeys) converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), New(org, keys))
}

// FailureConverter returns the failure converter of a cell's clients and
// workers. Messages and stack traces are sealed like any payload: by default
// they would stand in a history in clear.
func FailureConverter(org string, keys seal.DataKeys) converter.FailureConverter {
	return intact{temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          DataConverter(org, keys),
		EncodeCommonAttributes: true,
	})}
}

// intact keeps a failure sealed while it is read. The SDK's converter opens a
// failure in place, and a worker reads a local activity's failure before it
// records the marker: the message would go into the history in clear.
type intact struct {
	converter.FailureConverter
}

// FailureToError implements [converter.FailureConverter].
func (c intact) FailureToError(f *failure.Failure) error {
	return c.FailureConverter.FailureToError(proto.CloneOf(f))
}
