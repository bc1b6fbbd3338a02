package custody

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gocloud.dev/secrets"
	// The providers that may wrap a private half.
	_ "gocloud.dev/secrets/awskms"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/hashivault"

	"github.com/tenonhq/tenon/schema"
)

// providerPatience bounds the wait for a provider.
const providerPatience = 20 * time.Second

// addresses are the environment variables by which a provider is reached elsewhere
// than where it is by default.
var addresses = []string{"VAULT_SERVER_URL", "VAULT_ADDR", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"}

// files are the environment variables that name files which a provider's client reads.
var files = []string{
	"VAULT_CACERT", "VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY",
	"AWS_CA_BUNDLE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
	"GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// clientFiles are what a confined process needs to read to ask a provider.
func clientFiles() []string {
	var out []string
	for _, name := range files {
		if v := os.Getenv(name); v != "" {
			out = append(out, v)
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, filepath.Join(home, ".aws"), filepath.Join(home, ".config", "gcloud"))
	}
	return out
}

// checkEnvironment holds the provider's client to verified TLS: a private half
// crosses that link.
func (k Key) checkEnvironment() error {
	for _, name := range addresses {
		v := os.Getenv(name)
		if v == "" {
			continue
		}
		u, err := url.Parse(v)
		if err == nil && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
			continue
		}
		return schema.Errorf(schema.CodeInvalid, "setting %s: environment variable %s must be an https address: the private half goes there", k.setting, name)
	}
	if skip, err := strconv.ParseBool(os.Getenv("VAULT_SKIP_VERIFY")); err == nil && skip {
		return schema.Errorf(schema.CodeInvalid, "setting %s: environment variable VAULT_SKIP_VERIFY must not be set: the private half goes there", k.setting).
			Advise("Name the authority with VAULT_CACERT.")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ask has the provider's key wrap or unwrap.
func (k Key) ask(ctx context.Context, doing string, do func(context.Context, *secrets.Keeper) ([]byte, error)) ([]byte, error) {
	return k.bounded(ctx, doing, func(ctx context.Context) ([]byte, error) {
		keeper, err := k.mux.OpenKeeper(ctx, k.address())
		if err != nil {
			return nil, err
		}
		defer func() { _ = keeper.Close() }()
		return do(ctx, keeper)
	})
}

// bounded has a provider's client do something. Some do not heed a context, or
// panic on an answer that they do not expect: neither holds up the start, and
// nothing of the answer is quoted.
func (k Key) bounded(ctx context.Context, doing string, do func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := k.checkEnvironment(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, providerPatience)
	defer cancel()
	type answer struct {
		out []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a = answer{err: schema.Errorf(schema.CodeUnavailable, "the provider's answer is not one of its protocol")}
			}
			answers <- a
		}()
		a.out, a.err = do(ctx)
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, k.unavailable(doing, a.err)
		}
		return a.out, nil
	case <-ctx.Done():
		return nil, k.unavailable(doing, ctx.Err())
	}
}

// address is the reference as the provider's client takes it. One of Vault always
// names its engine: the client would go on with that of the key before.
func (k Key) address() string {
	u, err := url.Parse(k.value)
	if err != nil || u.Scheme != schemeVault || u.Query().Get("engine") != "" {
		return k.value
	}
	q := u.Query()
	q.Set("engine", "transit")
	u.RawQuery = q.Encode()
	return u.String()
}

func (k Key) unavailable(doing string, err error) error {
	return schema.Errorf(schema.CodeUnavailable, "setting %s: the key that it names could not %s: %w", k.setting, doing, err).
		Advise("Does the key exist, may this machine use it, and is the provider reached as its own environment variables say?")
}
