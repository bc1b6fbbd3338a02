package custody

import (
	"context"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	gcaws "gocloud.dev/aws"

	"github.com/tenonhq/tenon/schema"
)

// resource asks AWS which key a reference stands for. An alias, the key's id and
// its replicas in other regions have one answer. It takes the right that wrapping
// takes, and no other.
func (k Key) resource(ctx context.Context) (string, error) {
	named, err := k.bounded(ctx, "wrap", func(ctx context.Context) ([]byte, error) {
		u, err := url.Parse(k.value)
		if err != nil {
			return nil, err
		}
		in := &kms.EncryptInput{Plaintext: []byte(probe), EncryptionContext: map[string]string{}}
		name, query := strings.TrimPrefix(path.Join(u.Host, u.Path), "/"), u.Query()
		in.KeyId = &name
		for parameter := range query {
			if of, ok := strings.CutPrefix(parameter, "context_"); ok {
				in.EncryptionContext[of] = query.Get(parameter)
				query.Del(parameter)
			}
		}
		cfg, err := gcaws.V2ConfigFromURLParams(ctx, query)
		if err != nil {
			return nil, err
		}
		out, err := kms.NewFromConfig(cfg).Encrypt(ctx, in)
		if err != nil {
			return nil, err
		}
		if out.KeyId == nil {
			return nil, schema.Errorf(schema.CodeUnavailable, "the provider does not say which key it used")
		}
		return []byte(*out.KeyId), nil
	})
	if err != nil {
		return "", err
	}
	m := arn.FindStringSubmatch(string(named))
	if m == nil || m[2] != "key" {
		return "", k.unavailable("wrap", schema.Errorf(schema.CodeUnavailable, "the provider does not say which key it used"))
	}
	return strings.ToLower(m[3]), nil
}
