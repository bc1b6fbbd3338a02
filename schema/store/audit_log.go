package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// An entry's predecessor is found by its number, so its hash is not kept twice.
const selectAudit = `SELECT a.seq, a.id, a.at, a.actor, a.action, a.target, a.namespace, a.detail_sealed, a.hash, p.hash
FROM audit a LEFT JOIN audit p ON p.seq = a.seq - 1 `

func (s *side) scanAudit(row scanner) (AuditEntry, error) {
	e := AuditEntry{Chain: s.chain}
	var at int64
	err := row.Scan(&e.Seq, &e.ID, &at, &e.Actor, &e.Action, &e.Target, &e.Namespace, &e.DetailSealed, &e.Hash, &e.Prev)
	e.At, e.DetailSealed = fromMicros(at), some(e.DetailSealed)
	return e, err
}

func (s *side) appendAudit(ctx context.Context, a AuditDraft) error {
	return s.w.do(ctx, "write the audit log", func(t *txn) error {
		t.audit(a)
		return nil
	})
}

func (s *side) listAudit(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	var where []string
	var args []any
	if f.After != "" {
		seq, err := strconv.ParseInt(f.After, 10, 64)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the cursor is not one that a list returned")
		}
		where, args = append(where, "a.seq < ?"), append(args, seq)
	}
	if f.Namespace != "" {
		where, args = append(where, "a.namespace = ?"), append(args, f.Namespace)
	}
	if f.Action != "" {
		where, args = append(where, "a.action = ?"), append(args, f.Action)
	}
	rows, err := s.Query(ctx, selectAudit+whereAll(where)+"ORDER BY a.seq DESC LIMIT ?", append(args, limit(f.Limit))...)
	return collect("list the audit log", rows, err, s.scanAudit)
}

func whereAll(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(conditions, " AND ") + " "
}

func (s *side) auditHead(ctx context.Context) (AuditHead, error) {
	rows, err := s.Query(ctx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
	heads, err := collect("read the audit log", rows, err, func(row scanner) (AuditHead, error) {
		var h AuditHead
		return h, row.Scan(&h.Seq, &h.Hash)
	})
	if err != nil || len(heads) == 0 {
		return AuditHead{}, err
	}
	return heads[0], nil
}

// verifyAudit reads the chain in pages that overlap by one entry, so that the
// links between pages are checked too.
func (s *side) verifyAudit(ctx context.Context, known ...AuditHead) (AuditHead, error) {
	const page = 1000
	var last []AuditEntry
	head := AuditHead{}
	for {
		rows, err := s.Query(ctx, selectAudit+"WHERE a.seq > ? ORDER BY a.seq LIMIT ?", head.Seq, page)
		next, err := collect("read the audit log", rows, err, s.scanAudit)
		if err != nil {
			return head, err
		}
		if len(next) == 0 {
			break
		}
		if head.Seq == 0 && next[0].Seq != 1 {
			return head, broken(s.chain, 1, "the entry is missing or out of order")
		}
		if err := VerifyAudit(append(last, next...)); err != nil {
			return head, err
		}
		end := next[len(next)-1]
		for _, k := range known {
			if k.Seq > head.Seq && k.Seq <= end.Seq {
				if err := k.among(next); err != nil {
					return head, err
				}
			}
		}
		head, last = AuditHead{Seq: end.Seq, Hash: end.Hash}, []AuditEntry{end}
	}
	for _, k := range known {
		if k.Seq > head.Seq {
			return head, broken(s.chain, head.Seq+1, "the entry is missing: the chain was cut")
		}
	}
	return head, nil
}
