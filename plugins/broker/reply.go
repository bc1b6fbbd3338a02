package broker

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// maxCodings bounds how often a reply may be compressed over.
const maxCodings = 3

// body reads and decodes a reply's body. A reply is whole or an error: a
// credential cut in two by a limit could not be recognised.
func (e *exchange) body(response *http.Response) ([]byte, error) {
	limit := e.draft.maxBody
	if response.ContentLength > limit {
		return nil, e.tooLarge()
	}
	raw, err := e.readAll(response.Body, limit)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	codings := codingsOf(response.Header)
	if len(codings) > maxCodings {
		return nil, undecodable("it is compressed too often")
	}
	slices.Reverse(codings) // the last one applied is undone first
	for _, coding := range codings {
		reader, err := decoder(coding, raw)
		if err != nil {
			return nil, err
		}
		// Bounded by what comes out, not by what goes in: a bomb ends here.
		if raw, err = e.readAll(reader, limit); err != nil {
			var known *schema.Error
			if errors.As(err, &known) {
				return nil, err
			}
			return nil, undecodable("its compression is broken")
		}
	}
	return raw, nil
}

func (e *exchange) readAll(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = e.tooLarge()
	}
	return content, err
}

func (e *exchange) tooLarge() error {
	return schema.Errorf(schema.CodeTooLarge, "the reply's body is larger than %d bytes", e.draft.maxBody).
		Advise("Ask for less at a time.")
}

func codingsOf(header http.Header) []string {
	var codings []string
	for _, value := range header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
				codings = append(codings, coding)
			}
		}
	}
	return codings
}

func decoder(coding string, raw []byte) (io.Reader, error) {
	switch coding {
	case "gzip", "x-gzip":
		reader, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, undecodable("its compression is broken")
		}
		return reader, nil
	case "deflate":
		// Meant as zlib, sent raw by some servers.
		if reader, err := zlib.NewReader(bytes.NewReader(raw)); err == nil {
			return reader, nil
		}
		return flate.NewReader(bufio.NewReader(bytes.NewReader(raw))), nil
	default:
		// Never passed on as it is: what cannot be read cannot be scrubbed.
		return nil, undecodable("its content coding is not one that was asked for")
	}
}

func undecodable(reason string) error {
	return schema.Errorf(schema.CodeUnavailable, "the reply's body cannot be read: %s", reason)
}
