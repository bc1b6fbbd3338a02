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

// auditFigures compares acknowledged audit entries, chained, with acknowledged
// rows of the same store and size that no chain orders, and counts what a
// thousand requests at the same time cost: each commit is one wait for the disk.
func auditFigures(b *testing.B, r *report) {
	b.Helper()
	for _, backend := range []storetest.Backend{storetest.PostgreSQL(b), storetest.SQLite(b)} {
		_, made := backend.Provision(b)
		work := storetest.Open(b, made.Cell, store.SideCell).Work()
		detail := make([]byte, 128)
		draft := store.AuditDraft{
			Actor: schema.NewID(schema.PrefixKey), Action: "connection.create", Target: schema.NewID(schema.PrefixConnection),
			Namespace: schema.NewID(schema.PrefixNamespace), DetailSealed: detail,
		}
		// As many bytes as an entry has, hash included.
		row := make([]byte, len(detail)+len(draft.Actor)+len(draft.Action)+len(draft.Target)+len(draft.Namespace)+2*32)
		plain := func(ctx context.Context, i int64) error { return work.SetMeta(ctx, "bench-"+itoa(i), row) }
		chained := func(ctx context.Context, _ int64) error { return work.AppendAudit(ctx, draft) }
		concurrently(b, ackWindow/4, plain) // connects
		_, without := concurrently(b, ackWindow, plain)
		before, err := work.AuditHead(b.Context())
		require.NoError(b, err)
		n, with := concurrently(b, ackWindow, chained)
		head, err := work.VerifyAudit(b.Context())
		require.NoError(b, err)
		require.Equal(b, before.Seq+n, head.Seq, "every acknowledged entry is in the chain")

		const requests = 1000
		commits := work.Commits()
		var together sync.WaitGroup
		for i := range int64(requests) {
			together.Go(func() {
				if err := chained(b.Context(), i); err != nil {
					b.Error(err)
				}
			})
		}
		together.Wait()
		commits = work.Commits() - commits
		suffix := ""
		if backend.Name == "sqlite" {
			suffix = "_sqlite"
		}
		r.against("audit_acks_ratio"+suffix, with, "1/s", "ratio >= 0.5", without)
		r.plain("audit_commits_per_1000"+suffix, float64(commits), "commits", "<= 100")
	}
}
