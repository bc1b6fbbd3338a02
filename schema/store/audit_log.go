package store

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"github.com/tenonhq/tenon/schema/audit"
)

// selectAudit finds an entry's predecessor by its number, so that its hash is
// not kept twice.
func selectAudit(chain string) string {
	organization := "''"
	if chain == ChainControl {
		organization = "a.organization"
	}
	return `SELECT a.seq, a.id, a.at, a.actor, a.action, a.target, a.namespace, ` + organization + `, a.detail_sealed, a.hash, p.hash
FROM audit a LEFT JOIN audit p ON p.seq = a.seq - 1 `
}

func (s *side) scanAudit(row scanner) (audit.Entry, error) {
	e := audit.Entry{Chain: s.chain}
	var at int64
	err := row.Scan(&e.Seq, &e.ID, &at, &e.Actor, &e.Action, &e.Target, &e.Namespace, &e.Organization, &e.Detail, &e.Hash, &e.Prev)
	e.At, e.Detail = fromMicros(at), some(e.Detail)
	return e, err
}

func (s *side) appendAudit(ctx context.Context, a AuditDraft) error {
	return s.w.do(ctx, "write the audit log", func(t *txn) error {
		t.audit(a)
		return nil
	})
}

func (s *side) listAudit(ctx context.Context, f AuditFilter) ([]audit.Entry, error) {
	where, args := f.where(s.chain)
	order := "ORDER BY a.seq DESC LIMIT ?"
	if f.Oldest {
		order = "ORDER BY a.seq LIMIT ?"
	}
	rows, err := s.Query(ctx, selectAudit(s.chain)+whereAll(where)+order, append(args, limit(f.Limit))...)
	return collect("list the audit log", rows, err, s.scanAudit)
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
		rows, err := s.Query(ctx, selectAudit(s.chain)+"WHERE a.seq > ? ORDER BY a.seq LIMIT ?", after, MaxPage)
		page, err := collect("read the audit log", rows, err, s.scanAudit)
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
