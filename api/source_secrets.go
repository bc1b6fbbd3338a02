package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// SourceSecret is one of the secrets that a source accepts, without its value.
type SourceSecret struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	RetiresAt *time.Time `json:"retires_at,omitempty" doc:"When it stops being accepted; absent: not until it is retired."`
}

// NewSourceSecret is a secret, this once with its value where it was generated.
type NewSourceSecret struct {
	SourceSecret
	Secret string `json:"secret,omitempty" doc:"The generated secret. It is shown here only. Absent when one was given."`
}

type addSecret struct {
	SourcePath
	Body struct {
		Secret       string `json:"secret,omitempty" maxLength:"512" doc:"The new secret; one is generated when absent, unless the vendor makes them."`
		RetireOthers *int   `json:"retire_others,omitempty" minimum:"0" maximum:"7776000" doc:"In how many seconds the others stop being accepted; absent: they stay until they are retired."`
	}
}

func (s *Server) registerSourceSecrets() {
	tags := []string{"Sources"}
	write := access{scope: scopeNamespace, permission: SourcesWrite}
	handle(s, huma.Operation{
		OperationID: "list-source-secrets", Method: http.MethodGet, Path: "/v1/sources/{source}/secrets", Tags: tags,
		Summary: "List the secrets of a source, without their values",
	}, access{scope: scopeNamespace, permission: SourcesRead}, func(ctx context.Context, c *caller, in *SourcePath) (*Output[List[SourceSecret]], error) {
		_, how, err := c.described(ctx, in.Source)
		if err != nil {
			return nil, err
		}
		page := List[SourceSecret]{Items: []SourceSecret{}}
		for _, secret := range how.Secrets {
			page.Items = append(page.Items, showSecret(secret))
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "add-source-secret", Method: http.MethodPost, Path: "/v1/sources/{source}/secrets", Tags: tags,
		Summary: "Rotate: accept one more secret", DefaultStatus: http.StatusCreated,
		Description: "Both are accepted until the older one is retired, at once or after a while, so that the sender can change over.",
	}, write, s.addSecret)
	handle(s, huma.Operation{
		OperationID: "retire-source-secret", Method: http.MethodDelete, Path: "/v1/sources/{source}/secrets/{secret}", Tags: tags,
		Summary: "Retire a secret of a source", DefaultStatus: http.StatusNoContent,
		Description: "The last one stays: a source without a verifier cannot exist.",
	}, write, s.retireSecret)
}

// described finds a source of the caller's namespace with its description.
func (c *caller) described(ctx context.Context, id string) (store.Source, config.Source, error) {
	var how config.Source
	row, err := c.source(ctx, id)
	if err == nil {
		err = c.cell.openJSON(place.Source(c.org, row.ID), row.ConfigSealed, &how)
	}
	return row, how, err
}

func showSecret(s config.SourceSecret) SourceSecret {
	return SourceSecret{ID: s.ID, CreatedAt: s.CreatedAt, RetiresAt: s.RetiresAt}
}

// accepted counts the secrets that are accepted at a time.
func accepted(secrets []config.SourceSecret, at time.Time) int {
	return len(secrets) - len(retired(secrets, at))
}

func retired(secrets []config.SourceSecret, at time.Time) []config.SourceSecret {
	var out []config.SourceSecret
	for _, s := range secrets {
		if s.RetiresAt != nil && !at.Before(*s.RetiresAt) {
			out = append(out, s)
		}
	}
	return out
}

func (s *Server) addSecret(ctx context.Context, c *caller, in *addSecret) (*Output[NewSourceSecret], error) {
	row, how, err := c.described(ctx, in.Source)
	if err != nil {
		return nil, err
	}
	now := s.now()
	added := config.SourceSecret{ID: schema.NewID(schema.PrefixSecret), Value: in.Body.Secret, CreatedAt: now}
	if added.Value == "" {
		added.Value = newSecret(how)
	}
	how.Secrets = slices.DeleteFunc(how.Secrets, func(s config.SourceSecret) bool { return accepted([]config.SourceSecret{s}, now) == 0 })
	if in.Body.RetireOthers != nil {
		at := now.Add(time.Duration(*in.Body.RetireOthers) * time.Second)
		for i := range how.Secrets {
			if o := &how.Secrets[i]; o.RetiresAt == nil || o.RetiresAt.After(at) {
				o.RetiresAt = &at
			}
		}
	}
	// The newest first: it is what most messages are signed with from now on.
	how.Secrets = append([]config.SourceSecret{added}, how.Secrets...)
	if err := s.describeAgain(ctx, c, row, how, "source.secret.add", added.ID); err != nil {
		return nil, err
	}
	made := NewSourceSecret{SourceSecret: showSecret(added)}
	if in.Body.Secret == "" {
		made.Secret = added.Value
	}
	return answer(made), nil
}

func (s *Server) retireSecret(ctx context.Context, c *caller, in *struct {
	SourcePath
	Secret string `path:"secret" maxLength:"64"`
},
) (*nothing, error) {
	row, how, err := c.described(ctx, in.Source)
	if err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(how.Secrets), func(s config.SourceSecret) bool { return s.ID == in.Secret })
	if len(rest) == len(how.Secrets) {
		return nil, schema.Errorf(schema.CodeNotFound, "the source has no such secret")
	}
	for _, secret := range rest {
		if secret.RetiresAt != nil {
			continue
		}
		how.Secrets = rest
		return nil, s.describeAgain(ctx, c, row, how, "source.secret.retire", in.Secret)
	}
	return nil, schema.Errorf(schema.CodeConflict, "the last secret cannot be retired").
		Advise("Add another one first, or delete the source.")
}

// describeAgain writes a changed description, unless somebody else changed it
// since it was read.
func (s *Server) describeAgain(ctx context.Context, c *caller, row store.Source, how config.Source, action, secret string) error {
	if err := verify.Check(how); err != nil {
		return err
	}
	to := row
	to.UpdatedAt = s.now()
	var err error
	if to.ConfigSealed, err = c.cell.sealJSON(place.Source(c.org, row.ID), how); err != nil {
		return err
	}
	draft, err := s.audit(c, action, row.ID, map[string]any{"name": row.Name, "secret": secret})
	if err != nil {
		return err
	}
	return c.cell.Door().ChangeSource(ctx, row, to, draft)
}

// newSecret makes a secret of 32 random bytes for a verifier whose senders take
// one from us; of others it is empty.
func newSecret(how config.Source) string {
	switch how.Verifier {
	case config.VerifierStandardWebhooks, config.VerifierSvix:
		key := make([]byte, 32)
		rand.Read(key)
		return verify.EncodeSecret(key)
	case config.VerifierBasic:
		return "tenon:" + randomText()
	case config.VerifierHMAC:
		key := make([]byte, 32)
		rand.Read(key)
		if how.HMAC != nil && how.HMAC.SecretEncoding == "hex" {
			return hex.EncodeToString(key)
		}
		if how.HMAC != nil && how.HMAC.SecretEncoding == "base64" {
			return base64.StdEncoding.EncodeToString(key)
		}
		return base64.RawURLEncoding.EncodeToString(key)
	case config.VerifierGitHub, config.VerifierMicrosoft, config.VerifierBearer:
		return randomText()
	}
	return ""
}

func randomText() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.RawURLEncoding.EncodeToString(key)
}
