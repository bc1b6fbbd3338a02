package worker

import (
	"context"
	"encoding/json"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// told hands the executor what was done to a credential. A command that cannot
// be read is passed over: it must not hold up those after it.
func (r *relay) told(ctx context.Context, c store.Command) error {
	var args config.CredentialCommand
	plain, err := r.data.Open(place.Command(r.organization, c.ID), c.ArgsSealed)
	if err == nil {
		err = json.Unmarshal(plain, &args)
	}
	if err != nil || args.Connection == "" {
		r.logger.ErrorContext(ctx, "a command could not be read and is refused", "command", c.ID, "error", err)
		return r.cell.Work().SkipCommand(ctx, c.Seq, []store.AuditDraft{{Actor: c.By, Action: "credential.refused", Target: c.ID, Namespace: c.Namespace}})
	}
	return r.executor.Told(ctx, c, args)
}

// flush writes when credentials were used, now and then and at the end.
func (r *relay) flush(ctx context.Context) {
	r.troubles.about(ctx, "write when credentials were used", r.executor.FlushUse(ctx))
}
