package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// credentialFormat names the sealed format that clients write.
const credentialFormat = "tenon-credential-v1"

// maxCredential bounds a sealed credential and a credential in clear.
const maxCredential = 64 << 10

// Sealing is all that a client needs to seal a credential itself.
type Sealing struct {
	Format       string         `json:"format" enum:"tenon-credential-v1"`
	PublicKey    seal.PublicKey `json:"public_key" doc:"X25519, standard base64."`
	KeyID        string         `json:"key_id"`
	Organization string         `json:"organization"`
	Connection   string         `json:"connection"`
	Version      int            `json:"version" doc:"The version that the credential will have; sealed into it."`
	Use          seal.Use       `json:"use" doc:"What the credential is bound to; sealed into it."`
}

// saveCredential documents the body of PUT; it is parsed by hand, so that
// neither a value nor a name of it gets into an error or a pool.
type saveCredential struct {
	Sealed   string      `json:"sealed,omitempty" doc:"The sealed credential, standard base64. Takes version."`
	Version  int         `json:"version,omitempty" minimum:"1" doc:"The version that was sealed in."`
	Values   seal.Values `json:"values,omitempty" doc:"The values in clear, where that is allowed; sealed on arrival. The connector's description says which ones a scheme has."`
	RotateBy *time.Time  `json:"rotate_by,omitempty" doc:"When it should be replaced, at most 180 days ahead; else the connection's rotation_days count."`
}

func (s *Server) registerCredentials() {
	tags := []string{"Credentials"}
	handle(s, huma.Operation{
		OperationID: "get-sealing", Method: http.MethodGet, Path: "/v1/connections/{connection}/sealing", Tags: tags,
		Summary:     "What to seal a credential with",
		Description: "The sealed format is crypto_box_seal of libsodium over the format's name, a line feed, and JSON. /docs/sealing shows how, in three languages.",
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, s.sealing)
	handle(s, huma.Operation{
		OperationID: "get-credential", Method: http.MethodGet, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary: "What is known of a credential", Description: "Who saved it, when, when it was last used, when it is due, whether it works. Never its value: nothing reads that back.",
	}, access{scope: scopeNamespace, permission: ConnectionsRead}, func(ctx context.Context, c *caller, in *ConnectionPath) (*Output[Credential], error) {
		row, err := c.connection(ctx, in.Connection)
		if err != nil {
			return nil, err
		}
		return s.showCredential(ctx, c, row)
	})
	handle(s, huma.Operation{
		OperationID: "list-credentials", Method: http.MethodGet, Path: "/v1/credentials", Tags: tags,
		Summary: "List what is known of the credentials of a namespace", Description: "Those entered last, of every connection that ever had one.",
	}, access{scope: scopeNamespace, permission: ConnectionsRead}, s.listCredentials)
	handle(s, huma.Operation{
		OperationID: "test-credential", Method: http.MethodPost, Path: "/v1/connections/{connection}/credential/test", Tags: tags,
		Summary:     "Make the test call with the credential entered last",
		Description: "What it shows stands in the credential's proof, after a moment. A version that works takes the place of the one before, which is destroyed.",

		DefaultStatus: http.StatusAccepted,
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, s.testCredential)
	handle(s, huma.Operation{
		OperationID: "put-credential", Method: http.MethodPut, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary: "Enter or replace a credential",
		Description: "Either sealed by the client, or in clear where the organization allows it. The version before stays sealed, and in use, until a test call has " +
			"shown that the new one works; then it is destroyed. When it does not work, the version before stays. A connection without a test call takes the new one at once, " +
			"and the first answer shows. Ends a suspension.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: s.schemaOf(reflect.TypeFor[saveCredential](), "SaveCredential")},
		}},
		MaxBodyBytes: maxCredential * 2, SkipValidateBody: true,
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, s.putCredential)
	handle(s, huma.Operation{
		OperationID: "revoke-credential", Method: http.MethodDelete, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary: "Revoke a credential", Description: "At once, every version of it: the ciphertext is destroyed.", DefaultStatus: http.StatusNoContent,
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, func(ctx context.Context, c *caller, in *ConnectionPath) (*nothing, error) {
		row, err := c.connection(ctx, in.Connection)
		if err != nil {
			return nil, err
		}
		return nil, s.revoke(ctx, c, row)
	})
}

func (s *Server) schemaOf(t reflect.Type, hint string) *huma.Schema {
	return s.huma.OpenAPI().Components.Schemas.Schema(t, true, hint)
}

// credential is the version entered last, whatever its state.
func (c *caller) credential(ctx context.Context, row store.Connection) (store.Credential, error) {
	if row.CredentialVersion == 0 {
		return store.Credential{}, schema.Errorf(schema.CodeNotFound, "no credential was entered")
	}
	return c.cell.Door().GetCredential(ctx, row.ID, row.CredentialVersion)
}

// nextVersion is the number of the version that is entered next.
func (c *caller) nextVersion(ctx context.Context, row store.Connection) (int, error) {
	k, err := c.custody(ctx, row.ID)
	if err != nil {
		return 0, err
	}
	return k.Next(row.CredentialVersion)
}

// usable returns what a new credential of the connection is bound to.
func (c *caller) usable(row store.Connection) (seal.Use, error) {
	setup, err := c.setup(row)
	if err != nil {
		return seal.Use{}, err
	}
	if !bound(setup.Use) {
		return seal.Use{}, schema.Errorf(schema.CodeConflict, "the connection does not say where a credential may go").
			Advise("PATCH the connection with use first: hosts and inject.")
	}
	return setup.Use, nil
}

func (s *Server) sealing(ctx context.Context, c *caller, in *ConnectionPath) (*Output[Sealing], error) {
	row, err := c.connection(ctx, in.Connection)
	if err != nil {
		return nil, err
	}
	use, err := c.usable(row)
	if err != nil {
		return nil, err
	}
	version, err := c.nextVersion(ctx, row)
	if err != nil {
		return nil, err
	}
	return answer(Sealing{
		Format: credentialFormat, PublicKey: c.cell.public, KeyID: c.cell.public.ID().String(),
		Organization: c.org, Connection: row.ID, Version: version, Use: use,
	}), nil
}

type putCredential struct {
	ConnectionPath
	RawBody []byte `contentType:"application/octet-stream"`
}

func (s *Server) putCredential(ctx context.Context, c *caller, in *putCredential) (*Output[Credential], error) {
	// The buffer goes back to a pool after this: it must not hold the values.
	defer clear(in.RawBody)
	row, err := c.connection(ctx, in.Connection)
	if err != nil {
		return nil, err
	}
	use, err := c.usable(row)
	if err != nil {
		return nil, err
	}
	body, err := parseCredential(in.RawBody)
	if err != nil {
		return nil, err
	}
	defer body.Values.Forget()
	if err := s.checkRotation(body.RotateBy); err != nil {
		return nil, err
	}
	version, err := c.nextVersion(ctx, row)
	if err != nil {
		return nil, err
	}
	inner, how, warnings := body.sealed, "sealed", []seal.Warning(nil)
	if inner == nil {
		how = "plaintext"
		inner, warnings, err = s.sealArrived(ctx, c, row.ID, version, use, body)
	} else {
		err = checkSealed(c, inner, body.Version, version)
	}
	if err != nil {
		return nil, err
	}
	k := store.Credential{
		ID: schema.NewID(schema.PrefixCredential), Connection: row.ID, Version: version,
		Sealed: c.cell.keys.Seal(place.Credential(c.org, row.ID, version), inner), SealedTo: c.cell.sealsTo(),
		State: store.CredentialCurrent, CreatedBy: c.actor, CreatedAt: s.now(), RotateBy: body.RotateBy,
	}
	if err := s.replace(ctx, c, row, k, map[string]any{"version": version, "how": how, "hosts": use.Hosts}); err != nil {
		return nil, err
	}
	row.CredentialVersion = version
	shown, err := s.showCredential(ctx, c, row)
	if err != nil {
		return nil, err
	}
	shown.Body.Warnings = append(warnings, shown.Body.Warnings...)
	return shown, nil
}

// replace saves a version beside the one that is in use now, and tells the cell.
func (s *Server) replace(ctx context.Context, c *caller, row store.Connection, k store.Credential, detail map[string]any) error {
	known, err := c.custody(ctx, row.ID)
	if err != nil {
		return err
	}
	live, err := c.cell.Door().LiveCredentials(ctx, row.ID)
	if err != nil {
		return err
	}
	keep, lowest := inUse(known.Custody, live), k.Version
	if keep > 0 {
		lowest = keep
	}
	told, err := s.tell(c, row.Namespace, config.CredentialCommand{Connection: row.ID, Act: config.CredentialEntered, Version: k.Version, Lowest: lowest})
	if err != nil {
		return err
	}
	draft, err := s.audit(c, "credential.write", row.ID, detail)
	if err != nil {
		return err
	}
	if err := c.cell.Door().PutCredential(ctx, k, keep, told, draft); err != nil {
		return err
	}
	s.rotations.watch(c.org)
	return s.wake(ctx, c.cell)
}

// tell makes the command that tells the cell what was done to a credential.
func (s *Server) tell(c *caller, namespace string, told config.CredentialCommand) (store.Command, error) {
	cmd := store.Command{
		ID: schema.NewID(schema.PrefixCommand), Namespace: namespace, Kind: config.CommandCredential, By: c.actor, CreatedAt: s.now(),
	}
	sealed, err := c.cell.sealJSON(place.Command(c.org, cmd.ID), told)
	cmd.ArgsSealed = sealed
	return cmd, err
}

func (s *Server) testCredential(ctx context.Context, c *caller, in *ConnectionPath) (*Output[Credential], error) {
	row, err := c.connection(ctx, in.Connection)
	if err != nil {
		return nil, err
	}
	latest, err := c.credential(ctx, row)
	if err != nil {
		return nil, err
	}
	if latest.State != store.CredentialCurrent {
		return nil, schema.Errorf(schema.CodeConflict, "the credential was %s", latest.State).Advise("Enter a new one.")
	}
	cmd, err := s.tell(c, row.Namespace, config.CredentialCommand{Connection: row.ID, Act: config.CredentialTest, Version: latest.Version})
	if err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "credential.test", row.ID, map[string]any{"version": latest.Version})
	if err != nil {
		return nil, err
	}
	if _, err := c.cell.Door().AddCommand(ctx, cmd, draft); err != nil {
		return nil, err
	}
	s.rotations.watch(c.org)
	if err := s.wake(ctx, c.cell); err != nil {
		return nil, err
	}
	return s.showCredential(ctx, c, row)
}

// entered is a parsed body of PUT.
type entered struct {
	saveCredential
	sealed []byte
}

// parseCredential reads the body. Its errors say what is wrong and where, and
// quote neither a value nor the name of an unknown field: either may be the
// secret, put in the wrong place (invariant 10).
func parseCredential(raw []byte) (entered, error) {
	var body entered
	if seal.Decode(raw, &body.saveCredential, "sealed", "version", "values", "rotate_by") != nil {
		body.Values.Forget()
		return entered{}, schema.Errorf(schema.CodeInvalid, "the body is not a credential as JSON").
			Advise("Send sealed and version, or values; strings only.")
	}
	switch {
	case (body.Sealed == "") == (len(body.Values) == 0):
		return entered{}, schema.Errorf(schema.CodeInvalid, "the body has either sealed or values")
	case body.Sealed == "":
		return body, nil
	}
	sealed, err := decodeBase64(body.Sealed)
	if err != nil || len(sealed) > maxCredential {
		return entered{}, schema.Errorf(schema.CodeInvalid, "sealed must be standard base64").At("/sealed")
	}
	body.sealed = sealed
	return body, nil
}

// sealArrived seals values that came in clear. Nothing here can open the
// result again.
func (s *Server) sealArrived(ctx context.Context, c *caller, connection string, version int, use seal.Use, body entered) ([]byte, []seal.Warning, error) {
	allowed, err := s.plaintextAllowed(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if !allowed {
		return nil, nil, schema.Errorf(schema.CodeRefused, "credentials in clear are not taken").At("/values").
			Advise("Seal it: GET /v1/connections/{connection}/sealing has the key, tenon credentials set does it, and /docs/sealing shows how in three languages.")
	}
	warnings, err := seal.Check(use.Inject, body.Values)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := seal.SealCredential(c.cell.public, seal.Credential{
		Organization: c.org, Connection: connection, Version: version, Use: use, Values: body.Values,
	})
	return sealed, warnings, err
}

// revoke revokes the connection's credential.
func (s *Server) revoke(ctx context.Context, c *caller, row store.Connection) error {
	if row.CredentialVersion == 0 {
		return schema.Errorf(schema.CodeNotFound, "no credential was entered")
	}
	r, err := s.revocation(c, row)
	if err != nil {
		return err
	}
	if err := c.cell.Door().RevokeCredentials(ctx, r); err != nil {
		return err
	}
	return s.wake(ctx, c.cell)
}

// checkSealed checks what can be seen of a credential that the client sealed:
// its version and the key. Whether it is what it says is for the cell to find,
// which alone can open it.
func checkSealed(c *caller, sealed []byte, given, wanted int) error {
	if given == 0 {
		return schema.Errorf(schema.CodeInvalid, "version must be the one that was sealed in").At("/version")
	}
	if given != wanted {
		return schema.Errorf(schema.CodeConflict, "the credential was sealed as another version than the next one").At("/version").
			Advise("GET …/sealing again and seal anew.")
	}
	id, _, err := seal.Split(seal.SuiteCredential, sealed)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "sealed is not a sealed credential").At("/sealed")
	}
	if id != c.cell.public.ID() {
		return schema.Errorf(schema.CodeConflict, "the credential was not sealed to the organization's current key").At("/sealed").
			Advise("GET …/sealing again and seal anew.")
	}
	return nil
}
