package flow_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		`"PT30S"`: 30 * time.Second, `"P1DT12H"`: 36 * time.Hour, `"PT0.25S"`: 250 * time.Millisecond, `"P1W"`: 168 * time.Hour,
		`"P1M"`: 720 * time.Hour, `"P1Y"`: 8760 * time.Hour, `"PT1H2M3S"`: time.Hour + 2*time.Minute + 3*time.Second, `"PT0S"`: 0,
		`{"seconds":30}`: 30 * time.Second, `{"days":1,"hours":2,"minutes":3,"seconds":4,"milliseconds":5}`: 26*time.Hour + 3*time.Minute + 4*time.Second + 5*time.Millisecond,
		`{"milliseconds":0}`: 0,
	} {
		got, err := flow.ParseDuration(json.RawMessage(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		``, `null`, `7`, `[]`, `{}`, `""`, `"P"`, `"PT"`, `"30s"`, `"PT-1S"`, `"P1H"`, `"PT1.S"`, `"PT.5S"`, `"PT1e3S"`, `"P400Y"`, `"P1DT"`,
		`"PT99999999999999999999S"`, `"PT1S "`, `{"seconds":1.5}`, `{"seconds":-1}`, `{"seconds":"1"}`, `{"seconds":1e3}`, `{"years":1}`,
		`{"days":999999999999999999}`, `{"seconds":null}`, `"PT1S`,
	} {
		_, err := flow.ParseDuration(json.RawMessage(text))
		require.Error(t, err, text)
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(err), text)
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add(`"P1DT2H3.5S"`)
	f.Add(`{"days":1,"milliseconds":5}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := flow.ParseDuration(json.RawMessage(text))
		require.GreaterOrEqual(t, got, time.Duration(0))
		if err != nil {
			require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		}
	})
}

func TestErrorType(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"timeout", "https://serverlessworkflow.io/spec/1.0.0/errors/timeout", "https://serverlessworkflow.io/dsl/errors/types/timeout",
		"https://open-workflow-specification.org/spec/1.0.3/errors/timeout", "http://open-workflow-specification.org/dsl/errors/types/timeout",
	} {
		require.Equal(t, flow.TypeTimeout, flow.ErrorType(text), text)
		require.Equal(t, 408, flow.ErrorStatus(text), text)
	}
	for _, text := range []string{
		"", "Timeout", "https://serverlessworkflow.io/errors/not-implemented", "https://serverlessworkflow.io/errors/types/compliance",
		"https://example.com/spec/1.0.0/errors/timeout", "https://serverlessworkflow.io/spec/1.0.0/errors/none",
		"https://serverlessworkflow.io.example.com/spec/1.0.0/errors/timeout",
	} {
		require.Equal(t, text, flow.ErrorType(text))
		require.Equal(t, 500, flow.ErrorStatus(text))
	}
	require.Equal(t, 401, flow.ErrorStatus("authentication"))
	require.Equal(t, 403, flow.ErrorStatus(flow.TypeAuthorization))
	for _, standard := range []string{flow.TypeConfiguration, flow.TypeValidation, flow.TypeExpression} {
		require.Equal(t, 400, flow.ErrorStatus(standard))
		require.Equal(t, standard, flow.ErrorType(standard))
	}
}

func TestPointer(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/do/0/a~1b~0", flow.Pointer("/do", "0", "a/b~"))
	require.Empty(t, flow.Pointer(""))
}

func FuzzErrorType(f *testing.F) {
	f.Add("timeout")
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, flow.ErrorType(s), flow.ErrorType(flow.ErrorType(s)))
	})
}
