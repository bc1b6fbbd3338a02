package bench

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// auditFigures compares acknowledged audit entries, which the chain puts one
// behind the other, with the rows of the same size that PostgreSQL itself takes
// from as many sessions in no order, and counts what a thousand requests at the
// same time cost: each commit is one wait for the disk.
func auditFigures(b *testing.B, r *report) {
	b.Helper()
	draft := store.AuditDraft{
		Actor: schema.NewID(schema.PrefixKey), Action: "connection.create", Target: schema.NewID(schema.PrefixConnection),
		Namespace: schema.NewID(schema.PrefixNamespace), DetailSealed: make([]byte, 128),
	}
	for _, backend := range []storetest.Backend{storetest.PostgreSQL(b), storetest.SQLite(b)} {
		_, made := backend.Provision(b)
		work := storetest.Open(b, made.Cell, store.SideCell).Work()
		entry := func(ctx context.Context, _ int64) error { return work.AppendAudit(ctx, draft) }
		suffix := "_sqlite"
		if backend.Name == "postgres" {
			suffix = ""
			id, hash := len(draft.Target), 32
			size := len(draft.DetailSealed) + len(draft.Actor) + len(draft.Action) + len(draft.Target) + len(draft.Namespace) + id + hash
			plain := inserts(b, storetest.Postgres(b), "plain_entries", make([]byte, size))
			concurrently(b, ackWindow/4, entry) // connects
			before, err := work.AuditHead(b.Context())
			require.NoError(b, err)
			n, rate := concurrently(b, ackWindow, entry)
			head, err := work.VerifyAudit(b.Context())
			require.NoError(b, err)
			require.Equal(b, before.Seq+n, head.Seq, "every acknowledged entry is in the chain")
			r.against("audit_acks_ratio", rate, "1/s", "ratio >= 0.5", plain)
		}
		const requests = 1000
		commits := work.Commits()
		var together sync.WaitGroup
		for i := range int64(requests) {
			together.Go(func() {
				if err := entry(b.Context(), i); err != nil {
					b.Error(err)
				}
			})
		}
		together.Wait()
		r.plain("audit_commits_per_1000"+suffix, float64(work.Commits()-commits), "commits", "<= 100")
	}
}
