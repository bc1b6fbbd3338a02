package schema_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
)

var prefixes = []schema.Prefix{
	schema.PrefixOrganization, schema.PrefixNamespace, schema.PrefixKey, schema.PrefixConnection, schema.PrefixCredential, schema.PrefixSource,
	schema.PrefixFlow, schema.PrefixEvent, schema.PrefixRun, schema.PrefixEffect, schema.PrefixCommand, schema.PrefixAudit, schema.PrefixCarrier,
	schema.PrefixRequest, schema.PrefixHost, schema.PrefixSecret,
}

func TestIdentifiersAreOfTheirTypeOnly(t *testing.T) {
	for _, p := range prefixes {
		id := schema.NewID(p)
		for _, q := range prefixes {
			err := schema.CheckID(q, id)
			assert.Equal(t, p == q, err == nil, "%s as %s", p, q)
		}
	}
}

func TestIdentifiersSortByTime(t *testing.T) {
	// The first ten characters of the suffix are the milliseconds (RFC 9562, 5.7).
	const clock = len("evt_") + 10
	ids, times := make([]string, 2000), make([]string, 2000)
	for i := range ids {
		ids[i] = schema.NewID(schema.PrefixEvent)
		times[i] = ids[i][:clock]
	}
	assert.True(t, slices.IsSorted(times))
	slices.Sort(ids)
	assert.Len(t, slices.Compact(ids), 2000)
}

func TestCheckIDRefusesAndDoesNotQuote(t *testing.T) {
	good := schema.NewID(schema.PrefixRun)
	suffix := strings.TrimPrefix(good, "run_")
	for _, bad := range []string{
		"", "run", "run_", "_" + suffix, suffix, "RUN_" + suffix, "run_" + strings.ToUpper(suffix), good + "0", good[:len(good)-1], good + "\n", " " + good,
		"run_8" + suffix[1:], "run_../../etc/passwd", "run_" + strings.Repeat("0", 25) + "/", "run_" + strings.Repeat("\x00", 26), "run_run_" + suffix, "evt_" + suffix,
		"run_" + strings.Repeat("l", 26), strings.Repeat("canary", 1000),
	} {
		err := schema.CheckID(schema.PrefixRun, bad)
		require.Error(t, err, "%q", bad)
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		var e *schema.Error
		require.ErrorAs(t, err, &e)
		for _, said := range []string{e.Message, e.Hint, e.Error()} {
			assert.NotContains(t, said, "canary")
			if len(bad) > 8 {
				assert.NotContains(t, said, bad)
			}
		}
	}
}

// FuzzCheckID: what passes is safe in a path, a URL, a header and a log line.
func FuzzCheckID(f *testing.F) {
	f.Add(schema.NewID(schema.PrefixOrganization))
	f.Add("org_../x")
	f.Add("org_")
	form := regexp.MustCompile(`^org_[0-7][0-9a-hjkmnp-tv-z]{25}$`)
	f.Fuzz(func(t *testing.T, s string) {
		if schema.CheckID(schema.PrefixOrganization, s) == nil {
			require.Regexp(t, form, s)
		}
	})
}

// An identifier says when it was made, and fits into 16 bytes; nothing else does.
func TestIdentifiersArePacked(t *testing.T) {
	begun := time.Now().Truncate(time.Millisecond)
	id := schema.NewID(schema.PrefixEvent)
	assert.WithinRange(t, schema.IDTime(id), begun, time.Now())
	packed, err := schema.PackID(schema.PrefixEvent, id)
	require.NoError(t, err)
	assert.Len(t, packed, 16)
	again, err := schema.UnpackID(schema.PrefixEvent, packed)
	require.NoError(t, err)
	assert.Equal(t, id, again)
	for _, bad := range []string{"", "evt_", "evt", id + "0", strings.ToUpper(id), schema.NewID(schema.PrefixRun)} {
		_, err := schema.PackID(schema.PrefixEvent, bad)
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err), bad)
	}
	for _, bad := range []string{"", "evt", id + "0", strings.ToUpper(id)} {
		assert.Zero(t, schema.IDTime(bad), bad)
	}
	_, err = schema.UnpackID(schema.PrefixEvent, packed[:15])
	assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
}
