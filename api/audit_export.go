package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	exportType = "application/x-ndjson"
	// exportPatience is how long whoever reads an export may take for a page of
	// it: an export may be long, but not idle.
	exportPatience = 30 * time.Second
)

// exporting describes an operation that answers with an export.
func exporting(op huma.Operation) huma.Operation {
	op.Responses = map[string]*huma.Response{"200": {
		Description: "The export, as docs/audit-format.md has it.",
		Content:     map[string]*huma.MediaType{exportType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	return op
}

// export streams the trail: what it holds in memory is a page of each chain,
// however long they are. An error on the way leaves the last line out.
func (s *Server) export(ctx context.Context, t *trail) (*huma.StreamResponse, error) {
	// In this order, so that no checkpoint tells of more than the export shows:
	// a chain that is shorter than its checkpoint says was cut.
	signed, err := s.config.Control.LastCheckpoint(ctx, t.organization)
	if err != nil {
		return nil, err
	}
	heads, err := t.heads(ctx)
	if err != nil {
		return nil, err
	}
	header := audit.Header{Format: audit.Format, Organization: t.organization, At: s.now()}
	whole := false
	for _, c := range t.chains {
		c.filter.Oldest, c.filter.Limit = true, store.MaxPage
		whole = whole || c.whole
		// Of a chain that is seen in part, its length is not shown either.
		shown := audit.HeaderChain{ChainHead: audit.ChainHead{Chain: c.name}, Whole: c.whole}
		if c.whole {
			shown.Head = heads[c.name]
		}
		header.Chains = append(header.Chains, shown)
	}
	last := int64(0)
	if whole && signed != nil {
		last = signed.Sequence
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", exportType)
		hc.SetHeader("Content-Disposition", `attachment; filename="audit.ndjson"`)
		out := newLines(hc)
		err := out.write(audit.Line{Header: &header})
		if err == nil {
			err = s.exportCheckpoints(ctx, t.organization, last, out)
		}
		if err == nil {
			err = exportEntries(ctx, t, out)
		}
		if err != nil {
			s.log.WarnContext(ctx, "an export of the audit log was cut short", "request", requestID(ctx), "error", err)
		}
	}}, nil
}

func (s *Server) exportCheckpoints(ctx context.Context, org string, last int64, out *lines) error {
	for after := int64(0); after < last; {
		page, err := s.config.Control.ListCheckpoints(ctx, org, after, store.MaxPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if after = page[i].Sequence; after > last {
				return nil
			}
			if err := out.write(audit.Line{Checkpoint: &page[i]}); err != nil {
				return err
			}
		}
	}
	return nil
}

func exportEntries(ctx context.Context, t *trail, out *lines) error {
	for n := int64(0); ; n++ {
		e, err := t.next(ctx)
		if err != nil {
			return err
		}
		if e == nil {
			if err := out.write(audit.Line{End: &audit.End{Entries: n}}); err != nil {
				return err
			}
			return out.buffer.Flush()
		}
		shown, err := t.show(e)
		if err != nil {
			return err
		}
		if err := out.write(audit.Line{Entry: &shown}); err != nil {
			return err
		}
	}
}

// lines writes NDJSON to a connection whose deadline moves with what is taken.
type lines struct {
	buffer  *bufio.Writer
	encoder *json.Encoder
}

func newLines(hc huma.Context) *lines {
	_, w := humago.Unwrap(hc)
	buffer := bufio.NewWriterSize(&patient{to: hc.BodyWriter(), control: http.NewResponseController(w)}, 64<<10)
	return &lines{buffer: buffer, encoder: json.NewEncoder(buffer)}
}

func (l *lines) write(line audit.Line) error { return l.encoder.Encode(line) }

// patient gives each write its own time, instead of the answer as a whole.
type patient struct {
	to      io.Writer
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(exportPatience)); err != nil {
		return 0, err
	}
	return p.to.Write(b)
}
