package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"

	"github.com/tenonhq/tenon/schema/audit"
)

// auditQuery says where a chain's table keeps what of an entry, as expressions.
type auditQuery struct {
	namespace, action, detail, organization, acts string
}

// none is the expression of what a chain does not have.
const none = "''"

var (
	plainAudit   = auditQuery{namespace: "a.namespace", action: "a.action", detail: "a.detail_sealed", organization: none}
	controlAudit = auditQuery{namespace: "a.namespace", action: "a.action", detail: "a.detail_sealed", organization: "a.organization"}
	// Entries of before there were acts have none, and everything of their own.
	cellAudit = auditQuery{
		namespace: "COALESCE(c.namespace, a.namespace)", action: "COALESCE(c.action, a.action)", organization: none,
		detail: "CASE WHEN length(a.detail_sealed) = 0 THEN COALESCE(c.detail_sealed, a.detail_sealed) ELSE a.detail_sealed END",
		acts:   "LEFT JOIN acts c ON c.act = a.act ",
	}
)

// auditQuery is how the side's log is read.
func (s *side) auditQuery() auditQuery {
	switch {
	case s.chain == ChainControl:
		return controlAudit
	case s.actless.Load():
		return plainAudit
	}
	return cellAudit
}

// entries finds an entry's predecessor by its number, so that its hash is not kept
// twice.
func (q auditQuery) entries() string {
	return "SELECT a.seq, a.id, a.at, a.actor, " + q.action + ", a.target, " + q.namespace + ", " + q.organization + ", " + q.detail +
		", a.hash, p.hash FROM audit a LEFT JOIN audit p ON p.seq = a.seq - 1 " + q.acts
}

func (s *side) scanAudit(row scanner) (audit.Entry, error) {
	e := audit.Entry{Chain: s.chain}
	var at int64
	err := row.Scan(&e.Seq, &e.ID, &at, &e.Actor, &e.Action, &e.Target, &e.Namespace, &e.Organization, &e.Detail, &e.Hash, &e.Prev)
	e.At, e.Detail = fromMicros(at), some(e.Detail)
	switch {
	case err != nil || e.ID != "":
	case s.actless.Load():
		err = errActs
	default:
		e.ID, err = entryID(e)
	}
	return e, err
}

// errActs says that an entry has no id of its own, as where the log has acts.
var errActs = errors.New("the log has acts")

// entries reads entries of the log; the rest of the query is given how they are read.
func (s *side) entries(ctx context.Context, rest func(auditQuery) (string, []any)) ([]audit.Entry, error) {
	emptied := false
	for {
		q := s.auditQuery()
		where, args := rest(q)
		rows, err := s.Query(ctx, q.entries()+where, args...)
		found, err := collect("read the audit log", rows, err, func(row scanner) (audit.Entry, error) {
			e, err := s.scanAudit(row)
			if emptied && errors.Is(err, errActs) {
				err = nil
			}
			return e, err
		})
		if !errors.Is(err, errActs) {
			return found, err
		}
		// The log was migrated since it was opened, or somebody took the id away, which
		// whoever verifies is to find.
		v, err := s.Version(ctx)
		if err != nil {
			return nil, err
		}
		emptied = v < actsSince[s.chain]
		s.actless.Store(emptied)
	}
}

func (s *side) appendAudit(ctx context.Context, a AuditDraft) error {
	return s.w.do(ctx, "write the audit log", func(t *txn) error {
		t.audit(a)
		return nil
	})
}

func (s *side) listAudit(ctx context.Context, f AuditFilter) ([]audit.Entry, error) {
	order := "ORDER BY a.seq DESC LIMIT ?"
	if f.Oldest {
		order = "ORDER BY a.seq LIMIT ?"
	}
	return s.entries(ctx, func(q auditQuery) (string, []any) {
		where, args := f.where(q)
		return whereAll(where) + order, append(args, limit(f.Limit))
	})
}

func whereAll(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(conditions, " AND ") + " "
}

func (s *side) auditHead(ctx context.Context) (audit.Head, error) {
	rows, err := s.Query(ctx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
	return s.oneHead(rows, err)
}

// auditAt is the entry of that number; zero when there is none.
func (s *side) auditAt(ctx context.Context, seq int64) (audit.Head, error) {
	rows, err := s.Query(ctx, "SELECT seq, hash FROM audit WHERE seq = ?", seq)
	return s.oneHead(rows, err)
}

func (s *side) oneHead(rows *sql.Rows, err error) (audit.Head, error) {
	heads, err := collect("read the audit log", rows, err, func(row scanner) (audit.Head, error) {
		var h audit.Head
		return h, row.Scan(&h.Seq, &h.Hash)
	})
	if err != nil || len(heads) == 0 {
		return audit.Head{}, err
	}
	return heads[0], nil
}

// walkAudit gives every entry of the chain to the walker, page by page.
func (s *side) walkAudit(ctx context.Context, w *audit.Walker) error {
	// From the least number there can be: one below 1 is found by the walker.
	after := int64(math.MinInt64)
	for {
		page, err := s.entries(ctx, func(auditQuery) (string, []any) {
			return "WHERE a.seq > ? ORDER BY a.seq LIMIT ?", []any{after, MaxPage}
		})
		if err != nil {
			return err
		}
		for i := range page {
			w.Add(&page[i])
		}
		if len(page) < MaxPage {
			return nil
		}
		after = page[len(page)-1].Seq
	}
}

func (s *side) verifyAudit(ctx context.Context, known ...audit.Head) (audit.Head, error) {
	w := audit.NewWalker(s.chain, audit.Head{})
	for _, k := range known {
		w.Expect(audit.Anchor{Head: k, By: "the caller"})
	}
	if err := s.walkAudit(ctx, w); err != nil {
		return audit.Head{}, err
	}
	head, found := w.End()
	return head, broken(found)
}
