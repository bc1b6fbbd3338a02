package settings_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/cmd/internal/settings"
)

// secretsManager answers as AWS Secrets Manager does: the real one cannot be
// reached from a test.
func secretsManager(t *testing.T, secrets map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SecretId string } //nolint:revive // The service's own spelling.
		target := r.Header.Get("X-Amz-Target")
		if target != "secretsmanager.GetSecretValue" && target != "secretsmanager.DescribeSecret" || json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		value, ok := secrets[in.SecretId]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"ResourceNotFoundException","Message":"no such secret"}`))
			return
		}
		answer, err := json.Marshal(map[string]any{
			"ARN": "arn:aws:secretsmanager:eu-north-1:1:secret:" + in.SecretId, "Name": in.SecretId, "SecretString": value,
			"VersionId": "00000000-0000-0000-0000-000000000001", "CreatedDate": 1.7e9, "LastChangedDate": 1.7e9,
		})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestSecretsComeFromASecretManager(t *testing.T) {
	const canary = "postgres://tenon:canary-7f3a@127.0.0.1:5432/tenon"
	t.Setenv("AWS_ENDPOINT_URL", secretsManager(t, map[string]string{"tenon-database": canary, "wrong": "http://canary-7f3a"}))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	load := func(reference string) (settings.Settings, error) {
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		settings.Register(flags)
		return settings.Load(flags, func(name string) (string, bool) { return reference, name == "TENON_POSTGRES_URL" })
	}
	s, err := load("awssecretsmanager://tenon-database?region=eu-north-1&decoder=string")
	require.NoError(t, err)
	require.Equal(t, canary, string(s.Postgres.Reveal()))

	_, err = load("awssecretsmanager://absent?region=eu-north-1&decoder=string")
	require.ErrorContains(t, err, "setting postgres-url could not be read from the secret manager")
	_, err = load("awssecretsmanager://wrong?region=eu-north-1&decoder=string")
	require.ErrorContains(t, err, "setting postgres-url must be")
	require.NotContains(t, err.Error(), "canary")
}
