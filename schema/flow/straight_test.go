package flow_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/flow"
)

// TestStraight: runs share a carrier only when none of them pauses for long.
func TestStraight(t *testing.T) {
	const head = "document: { dsl: '1.0.3', namespace: a, name: b, version: '1.0.0' }\ndo:\n"
	for text, want := range map[string]bool{
		"": true,
		"retry: { limit: { attempt: { count: 3 } } }":                                            true,
		"retry: { delay: PT1S, limit: { attempt: { count: 100 } } }":                             true,
		"retry: { delay: PT1S, backoff: { exponential: {} }, limit: { attempt: { count: 3 } } }": true,
		"retry: { delay: PT1S, backoff: { exponential: {} }, limit: { attempt: { count: 4 } } }": false,
		"retry: { delay: PT1S, backoff: { exponential: {} } }":                                   false,
		"retry: { delay: PT1S, backoff: { linear: {} }, limit: { attempt: { count: 4 } } }":      true,
		"retry: { delay: PT1S, backoff: { linear: {} }, limit: { attempt: { count: 5 } } }":      false,
		"retry: { delay: PT5S }":  false,
		"retry: { delay: P365D }": false,
		"retry: { delay: PT1S, jitter: { from: PT0S, to: PT4S }, limit: { attempt: { count: 1 } } }": false,
	} {
		doc, err := flow.Parse([]byte(head + "  - t: { try: [{ s: { set: { a: 1 } } }], catch: { " + text + " } }\n"))
		require.NoError(t, err, text)
		require.Equal(t, want, doc.Straight, text)
	}
	doc, err := flow.Parse([]byte(head + "  - w: { wait: PT1S }\n"))
	require.NoError(t, err)
	require.False(t, doc.Straight)
}
