package api

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

// trail is one ordered log over several chains. A chain keeps its own order,
// whatever its clock did; between chains time decides, then the chain's place
// in the trail.
type trail struct {
	organization string
	chains       []*strand
	// open shows an entry's detail.
	open func(*audit.Entry) (json.RawMessage, error)
}

// strand is one chain of a trail, read page by page.
type strand struct {
	name   string
	chains *store.Chains
	filter store.AuditFilter
	// whole: the filter leaves nothing out but by number.
	whole bool

	ahead []audit.Entry
	done  bool
}

// organizationTrail is what the caller may see of its organization: all of it,
// or its namespace.
func (s *Server) organizationTrail(ctx context.Context, c *caller, namespace string, f AuditFilter) (*trail, error) {
	filter := f.store()
	filter.Namespace = c.bound
	if namespace != "" {
		ns, err := c.cell.Door().GetNamespace(ctx, namespace)
		if err != nil {
			return nil, err
		}
		if c.bound != "" && ns.ID != c.bound {
			return nil, schema.Errorf(schema.CodeNotFound, "there is no such namespace")
		}
		filter.Namespace = ns.ID
	}
	whole := filter == store.AuditFilter{}
	t := &trail{organization: c.org, open: c.openDetail}
	// The control chain is every organization's: of it, the caller sees its own.
	own := filter
	own.Organization = c.org
	t.chains = append(t.chains, &strand{name: store.ChainControl, chains: s.config.Control.Chains(), filter: own})
	for _, name := range []string{store.ChainDoor, store.ChainWork} {
		t.chains = append(t.chains, &strand{name: name, chains: c.cell.Chains(), filter: filter, whole: whole})
	}
	return t, nil
}

func (s *Server) platformTrail(ctx context.Context, organization string, f AuditFilter) *trail {
	filter := f.store()
	filter.Organization = organization
	return &trail{open: s.openControl(ctx), chains: []*strand{{
		name: store.ChainControl, chains: s.config.Control.Chains(), filter: filter, whole: filter == store.AuditFilter{},
	}}}
}

func (t *trail) show(e *audit.Entry) (audit.Record, error) {
	r := audit.RecordOf(e)
	var err error
	r.Detail, err = t.open(e)
	return r, err
}

// heads ends each chain where it ends now, so that what is written meanwhile
// changes nothing, and returns those ends.
func (t *trail) heads(ctx context.Context) (map[string]audit.Head, error) {
	heads := make(map[string]audit.Head, len(t.chains))
	for _, c := range t.chains {
		if _, known := heads[c.name]; known {
			continue
		}
		all, err := c.chains.Heads(ctx)
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			heads[h.Chain] = h.Head
		}
	}
	for _, c := range t.chains {
		c.filter.Before = heads[c.name].Seq + 1
	}
	return heads, nil
}

// next takes the entry that comes next, or none at the end.
func (t *trail) next(ctx context.Context) (*audit.Entry, error) {
	var first *strand
	for _, c := range t.chains {
		e, err := c.peek(ctx)
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		if first == nil || (c.filter.Oldest && e.At.Before(first.ahead[0].At)) || (!c.filter.Oldest && e.At.After(first.ahead[0].At)) {
			first = c
		}
	}
	if first == nil {
		return nil, nil //nolint:nilnil // The end is no error.
	}
	return first.take(), nil
}

// peek is the strand's next entry, nil at its end.
func (c *strand) peek(ctx context.Context) (*audit.Entry, error) {
	if len(c.ahead) == 0 && !c.done {
		page, err := c.chains.List(ctx, c.name, c.filter)
		if err != nil {
			return nil, err
		}
		c.ahead, c.done = page, len(page) < c.filter.Limit
	}
	if len(c.ahead) == 0 {
		return nil, nil //nolint:nilnil // The end is no error.
	}
	return &c.ahead[0], nil
}

func (c *strand) take() *audit.Entry {
	e := &c.ahead[0]
	c.ahead = c.ahead[1:]
	if c.filter.Oldest {
		c.filter.After = e.Seq
	} else {
		c.filter.Before = e.Seq
	}
	return e
}

// page lists the newest entries before the cursor. The cursor holds a place in
// each chain, from the first page on: what is written meanwhile is not shown.
func (t *trail) page(ctx context.Context, p Paging) (*Output[List[AuditEntry]], error) {
	if p.After == "" {
		if _, err := t.heads(ctx); err != nil {
			return nil, err
		}
	} else if err := t.resume(p.After); err != nil {
		return nil, err
	}
	for _, c := range t.chains {
		c.filter.Limit = min(p.Limit+1, store.MaxPage)
	}
	page := List[AuditEntry]{Items: []AuditEntry{}}
	for len(page.Items) < p.Limit {
		e, err := t.next(ctx)
		if err != nil {
			return nil, err
		}
		if e == nil {
			return answer(page), nil
		}
		shown, err := t.show(e)
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, AuditEntry(shown))
	}
	for _, c := range t.chains {
		if e, err := c.peek(ctx); err != nil {
			return nil, err
		} else if e != nil {
			page.Next = t.cursor()
		}
	}
	return answer(page), nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func (t *trail) cursor() string {
	places := make([]string, len(t.chains))
	for i, c := range t.chains {
		places[i] = number(c.filter.Before)
	}
	return strings.Join(places, ".")
}

func (t *trail) resume(cursor string) error {
	strange := schema.Errorf(schema.CodeInvalid, "the cursor is not one of this list").At("/after")
	places := strings.Split(cursor, ".")
	if len(places) != len(t.chains) {
		return strange
	}
	for i, c := range t.chains {
		before, err := strconv.ParseInt(places[i], 10, 64)
		if err != nil || before < 1 {
			return strange
		}
		c.filter.Before = before
	}
	return nil
}
