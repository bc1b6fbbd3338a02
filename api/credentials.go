package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// credentialFormat names the sealed format that clients write.
const credentialFormat = "tenon-credential-v1"

const credentialRevoked = store.CredentialRevoked

// valuesOf says which values each scheme has.
var valuesOf = map[string][]string{
	seal.SchemeBearer: {"token"}, seal.SchemeHeader: {"value"}, seal.SchemeQuery: {"value"}, seal.SchemeBasic: {"username", "password"},
}

// checkValues says what a scheme needs and never what was given.
func checkValues(scheme string, values map[string]string) error {
	names := valuesOf[scheme]
	ok := len(values) == len(names)
	for _, name := range names {
		ok = ok && values[name] != "" && !strings.ContainsAny(values[name], "\r\n\x00")
	}
	if !ok {
		return schema.Errorf(schema.CodeInvalid, "the scheme %s takes exactly these values, none empty or with a line break: %s",
			scheme, strings.Join(names, ", ")).At("/values")
	}
	return nil
}

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

// Credential is what can be known of a credential. Its values cannot
// (invariant 1).
type Credential struct {
	Version   int        `json:"version"`
	Scheme    string     `json:"scheme" enum:"bearer,header,query,basic"`
	State     string     `json:"state" enum:"current,previous,revoked"`
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
	RotateBy  *time.Time `json:"rotate_by,omitempty"`
}

// saveCredential documents the body of PUT; it is parsed by hand, so that
// neither a value nor a name of it gets into an error or a pool.
type saveCredential struct {
	Sealed   string            `json:"sealed,omitempty" doc:"The sealed credential, standard base64. Takes version."`
	Version  int               `json:"version,omitempty" minimum:"1" doc:"The version that was sealed in."`
	Values   map[string]string `json:"values,omitempty" doc:"The values in clear, where that is allowed; sealed on arrival. bearer: token; header, query: value; basic: username, password."`
	RotateBy *time.Time        `json:"rotate_by,omitempty" doc:"When it should be replaced."`
}

func (s *Server) registerCredentials() {
	tags := []string{"Credentials"}
	handle(s, huma.Operation{
		OperationID: "get-sealing", Method: http.MethodGet, Path: "/v1/connections/{connection}/sealing", Tags: tags,
		Summary:     "What to seal a credential with",
		Description: "The sealed format is crypto_box_seal of libsodium over the format's name, a line feed, and JSON.",
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, s.sealing)
	handle(s, huma.Operation{
		OperationID: "get-credential", Method: http.MethodGet, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary: "What is known of a credential", Description: "Never its value: nothing reads that back.",
	}, access{scope: scopeNamespace, permission: ConnectionsRead}, func(ctx context.Context, c *caller, in *ConnectionPath) (*Output[Credential], error) {
		row, err := c.connection(ctx, in.Connection)
		if err != nil {
			return nil, err
		}
		current, err := c.credential(ctx, row)
		if err != nil {
			return nil, err
		}
		return answer(showCredential(row, current)), nil
	})
	handle(s, huma.Operation{
		OperationID: "put-credential", Method: http.MethodPut, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary:     "Enter or replace a credential",
		Description: "Either sealed by the client, or in clear. The version before stays until it is revoked with the connection.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: s.schemaOf(reflect.TypeFor[saveCredential](), "SaveCredential")},
		}},
		MaxBodyBytes: maxCredential * 2, SkipValidateBody: true,
	}, access{scope: scopeNamespace, permission: CredentialsWrite}, s.putCredential)
	handle(s, huma.Operation{
		OperationID: "revoke-credential", Method: http.MethodDelete, Path: "/v1/connections/{connection}/credential", Tags: tags,
		Summary: "Revoke a credential", DefaultStatus: http.StatusNoContent,
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

// credential is the connection's latest version, whatever its state.
func (c *caller) credential(ctx context.Context, row store.Connection) (store.Credential, error) {
	if row.CredentialVersion == 0 {
		return store.Credential{}, schema.Errorf(schema.CodeNotFound, "no credential was entered")
	}
	return c.cell.Door().GetCredential(ctx, row.ID, row.CredentialVersion)
}

func showCredential(row store.Connection, k store.Credential) Credential {
	return Credential{
		Version: k.Version, Scheme: row.Scheme, State: k.State,
		CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt, RotateBy: k.RotateBy,
	}
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
	return answer(Sealing{
		Format: credentialFormat, PublicKey: c.cell.public, KeyID: c.cell.public.ID().String(),
		Organization: c.org, Connection: row.ID, Version: row.CredentialVersion + 1, Use: use,
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
	defer clear(body.Values)
	version := row.CredentialVersion + 1
	inner, how := body.sealed, "sealed"
	if inner == nil {
		how = "plaintext"
		inner, err = s.sealArrived(c, row.ID, version, use, body)
	} else {
		err = checkSealed(c, inner, body.Version, version)
	}
	if err != nil {
		return nil, err
	}
	k := store.Credential{
		ID: schema.NewID(schema.PrefixCredential), Connection: row.ID, Version: version,
		Sealed: c.cell.keys.Seal(place.Credential(c.org, row.ID, version), inner),
		State:  store.CredentialCurrent, CreatedBy: c.actor, CreatedAt: s.now(), RotateBy: body.RotateBy,
	}
	draft, err := s.audit(c, "credential.write", row.ID, map[string]any{"version": version, "how": how, "hosts": use.Hosts})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().PutCredential(ctx, k, draft); err != nil {
		return nil, err
	}
	return answer(showCredential(row, k)), nil
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
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var body entered
	if err := decoder.Decode(&body.saveCredential); err != nil || decoder.More() {
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
func (s *Server) sealArrived(c *caller, connection string, version int, use seal.Use, body entered) ([]byte, error) {
	if !s.config.PlaintextCredentials {
		return nil, schema.Errorf(schema.CodeRefused, "credentials in clear are not taken").At("/values").
			Advise("Seal it: GET …/sealing has the public key.")
	}
	if err := checkValues(use.Inject.Scheme, body.Values); err != nil {
		return nil, err
	}
	sealed, err := seal.SealCredential(c.cell.public, seal.Credential{
		Organization: c.org, Connection: connection, Version: version, Use: use, Values: body.Values,
	})
	if err != nil {
		return nil, within("/use", err)
	}
	return sealed, nil
}

// revoke revokes the connection's credential: every version that still has
// its ciphertext, newest first.
func (s *Server) revoke(ctx context.Context, c *caller, row store.Connection) error {
	if row.CredentialVersion == 0 {
		return schema.Errorf(schema.CodeNotFound, "no credential was entered")
	}
	for version := row.CredentialVersion; version > 0; version-- {
		k, err := c.cell.Door().GetCredential(ctx, row.ID, version)
		if err != nil {
			return err
		}
		if k.State == credentialRevoked {
			// What is older was revoked with it.
			return nil
		}
		draft, err := s.audit(c, "credential.revoke", row.ID, map[string]any{"version": version})
		if err != nil {
			return err
		}
		if err := c.cell.Door().RevokeCredential(ctx, row.ID, version, draft); err != nil {
			return err
		}
	}
	return nil
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
