package codec

import (
	"errors"
	"io"
	"net/http"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenonhq/tenon/schema"
)

// maxBody bounds the request of a codec endpoint: a page of history as JSON.
const maxBody = 64 << 20

// Endpoint returns the handler of Temporal's codec protocol for one cell: POST
// …/decode and …/encode with payloads as JSON. It neither authenticates nor
// authorizes: a caller chooses the cell's codec by who is asking (token) and
// by X-Namespace, and refuses everybody else before it comes here.
//
// Unlike a worker's codec, Endpoint hands a payload back as it came when it
// was never sealed: a history holds such payloads (search attributes) beside
// sealed ones, and a tool shows them all at once.
func Endpoint(c converter.PayloadCodec) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "use POST", http.StatusMethodNotAllowed)
			return
		}
		var convert func([]*commonpb.Payload) ([]*commonpb.Payload, error)
		switch {
		case strings.HasSuffix(r.URL.Path, "/decode"):
			convert = decodeSealed(c)
		case strings.HasSuffix(r.URL.Path, "/encode"):
			convert = c.Encode
		default:
			http.Error(w, "the path ends in neither /decode nor /encode", http.StatusNotFound)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
				return
			}
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		payloads := new(commonpb.Payloads)
		// The parser's error may quote the input, so it is not passed on.
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, payloads); err != nil {
			http.Error(w, "the body is not payloads as JSON", http.StatusBadRequest)
			return
		}
		converted, err := convert(payloads.GetPayloads())
		if err != nil {
			message := "the payloads cannot be converted"
			var known *schema.Error
			if errors.As(err, &known) {
				message = known.Message
			}
			http.Error(w, message, http.StatusBadRequest)
			return
		}
		answer, err := protojson.Marshal(&commonpb.Payloads{Payloads: converted})
		if err != nil {
			http.Error(w, "the payloads cannot be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(answer)
	})
}

// decodeSealed decodes sealed payloads and hands the others back.
func decodeSealed(c converter.PayloadCodec) func([]*commonpb.Payload) ([]*commonpb.Payload, error) {
	return func(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
		out := make([]*commonpb.Payload, len(payloads))
		for i, p := range payloads {
			if !Sealed(p) {
				out[i] = p
				continue
			}
			opened, err := c.Decode([]*commonpb.Payload{p})
			if err != nil {
				return nil, err
			}
			out[i] = opened[0]
		}
		return out, nil
	}
}
