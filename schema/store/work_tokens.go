package store

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// Token is what the cell keeps of the OAuth2 tokens of one version of a
// connection's credential.
type Token struct {
	Connection string
	Version    int
	// Generation counts the answers of the token endpoint that were kept; 0 for
	// none yet.
	Generation int64
	// Refresher names the process that is asking the token endpoint; empty when
	// nobody is.
	Refresher string
	// BegunAt is when the last request to the token endpoint began whose answer
	// was never kept; nil when there is none. It may have had an effect there.
	BegunAt   *time.Time
	UpdatedAt time.Time
	// Sealed is empty until the first answer.
	Sealed []byte
}

const selectTokens = "SELECT connection, version, generation, refresher, begun_at, updated_at, token_sealed FROM tokens "

func scanToken(row scanner) (Token, error) {
	var k Token
	var begun, updated int64
	err := row.Scan(&k.Connection, &k.Version, &k.Generation, &k.Refresher, &begun, &updated, &k.Sealed)
	k.BegunAt, k.UpdatedAt, k.Sealed = fromMicrosAt(begun), fromMicros(updated), some(k.Sealed)
	return k, err
}

// GetToken finds the tokens of a version; CodeNotFound when there are none.
func (w *Work) GetToken(ctx context.Context, connection string, version int) (Token, error) {
	rows, err := w.s.Query(ctx, selectTokens+"WHERE connection = ? AND version = ?", connection, version)
	return single("find the token", rows, err, scanToken)
}

// ListTokens lists the tokens of all connections.
func (w *Work) ListTokens(ctx context.Context) ([]Token, error) {
	rows, err := w.s.Query(ctx, selectTokens+"ORDER BY connection, version")
	return collect("list the tokens", rows, err, scanToken)
}

// BeginRefresh makes the named process the one that asks the token endpoint, and
// records that it begins. The generation is what the caller has seen: when there
// is a newer one, or another process has been asking for less than patience, the
// error is CodeConflict and the caller looks again.
func (w *Work) BeginRefresh(ctx context.Context, connection string, version int, generation int64, refresher string, patience time.Duration) error {
	return w.s.w.do(ctx, "begin to refresh the token", func(t *txn) error {
		at := now()
		changed, _, err := t.Exec(`UPDATE tokens SET refresher = ?, begun_at = ?
WHERE connection = ? AND version = ? AND generation = ? AND (refresher = '' OR refresher = ? OR begun_at <= ?)`,
			refresher, micros(at), connection, version, generation, refresher, micros(at.Add(-patience)))
		if err != nil || changed > 0 {
			return err
		}
		if generation == 0 {
			changed, _, err = t.Exec(`INSERT INTO tokens (connection, version, generation, refresher, begun_at, updated_at, token_sealed)
VALUES (?, ?, 0, ?, ?, ?, ?) ON CONFLICT (connection, version) DO NOTHING`, connection, version, refresher, micros(at), micros(at), []byte{})
		}
		if err == nil && changed == 0 {
			return errRefreshed
		}
		return err
	})
}

var errRefreshed error = schema.Errorf(schema.CodeConflict, "another process has refreshed the token, or is about to")

// PutToken keeps the answer of the token endpoint as the next generation, and
// ends the refresh. It takes only what the process that began it brings.
func (w *Work) PutToken(ctx context.Context, k Token, a AuditDraft) error {
	return w.s.w.do(ctx, "keep the token", func(t *txn) error {
		changed, _, err := t.Exec(`UPDATE tokens SET generation = generation + 1, refresher = '', begun_at = 0, updated_at = ?, token_sealed = ?
WHERE connection = ? AND version = ? AND generation = ? AND refresher = ?`,
			micros(now()), blob(k.Sealed), k.Connection, k.Version, k.Generation, k.Refresher)
		if err != nil {
			return err
		}
		if changed == 0 {
			return errRefreshed
		}
		t.audit(a)
		return nil
	})
}

// EndRefresh ends a refresh that brought nothing. With reached the request may
// have had an effect at the token endpoint, and that stays on record.
func (w *Work) EndRefresh(ctx context.Context, connection string, version int, refresher string, reached bool) error {
	return w.s.w.do(ctx, "end the refresh of the token", func(t *txn) error {
		text := "UPDATE tokens SET refresher = '', begun_at = 0 WHERE connection = ? AND version = ? AND refresher = ?"
		if reached {
			text = "UPDATE tokens SET refresher = '' WHERE connection = ? AND version = ? AND refresher = ?"
		}
		_, _, err := t.Exec(text, connection, version, refresher)
		return err
	})
}

// ResealToken puts the same tokens sealed with another key in their place. It is
// CodeConflict when there is a newer generation, which was sealed with the
// current key.
func (w *Work) ResealToken(ctx context.Context, k Token, sealed []byte) error {
	return w.s.w.do(ctx, "seal the token again", func(t *txn) error {
		changed, _, err := t.Exec("UPDATE tokens SET token_sealed = ? WHERE connection = ? AND version = ? AND generation = ?",
			sealed, k.Connection, k.Version, k.Generation)
		if err == nil && changed == 0 {
			return errRefreshed
		}
		return err
	})
}

// DropTokens removes the tokens of the versions below the floor.
func (w *Work) DropTokens(ctx context.Context, connection string, floor int, audit AuditDraft) error {
	return w.s.w.do(ctx, "drop the tokens", func(t *txn) error {
		changed, _, err := t.Exec("DELETE FROM tokens WHERE connection = ? AND version < ?", connection, floor)
		if err == nil && changed > 0 {
			t.audit(audit)
		}
		return err
	})
}
