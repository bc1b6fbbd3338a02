package activities

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
)

// libraryPatience bounds a read-through of a document from workflow code, well
// below the engine's deadlock detector.
const libraryPatience = 500 * time.Millisecond

// plan is a flow version as the executor uses it.
type plan struct {
	doc     *flow.Document
	flow    string
	version int
	// whole: some expression may look at more of $workflow than the parts that
	// are named in it; else the definition, which is the largest, is left out.
	whole bool
	// apart: an evaluation that was done ahead of its task broke off; the tasks of
	// this document are evaluated each by itself from then on.
	apart atomic.Bool
}

// partOfWorkflow is a use of $workflow that names which part it takes.
var partOfWorkflow = regexp.MustCompile(`\$workflow\.(?:id|input|startedAt)\b`)

// wholeWorkflow tells whether a document mentions $workflow by itself.
func wholeWorkflow(doc *flow.Document) bool {
	text := string(doc.Canonical)
	return strings.Count(text, "$workflow") != len(partOfWorkflow.FindAllStringIndex(text, -1))
}

func (e *Executor) plan(digest string) (*plan, error) {
	if p, ok := e.plans.Load(digest); ok {
		return p.(*plan), nil //nolint:forcetypeassert // Only plans are stored.
	}
	ctx, cancel := context.WithTimeout(context.Background(), libraryPatience)
	defer cancel()
	row, err := e.cfg.Cell.Door().GetFlowVersionByDigest(ctx, digest)
	if err != nil {
		return nil, err
	}
	text, err := e.cfg.Data.Open(place.Flow(e.cfg.Organization, row.Flow, row.Version), row.DocumentSealed)
	if err != nil {
		return nil, err
	}
	doc, err := flow.Parse(text)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "a stored flow version does not parse: %w", err)
	}
	// The content address is checked: a row under another's digest would make
	// a replay take another document.
	if doc.Digest != digest {
		return nil, schema.Errorf(schema.CodeInternal, "flow %s version %d is not the document its digest names", row.Flow, row.Version)
	}
	p := &plan{doc: doc, flow: row.Flow, version: row.Version, whole: wholeWorkflow(doc)}
	e.plans.Store(digest, p)
	return p, nil
}

// uses tells whether any of the templates mentions the variable.
func uses(variable string, templates ...*flow.Template) bool {
	for _, t := range templates {
		if t != nil && !t.Literal && bytes.Contains(t.JSON, []byte(variable)) {
			return true
		}
	}
	return false
}
