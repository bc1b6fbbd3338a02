package schema_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tenonhq/tenon/schema"
)

// A target knows an effect by this key for ever: another one would be another bill.
func TestIdempotencyKeyStays(t *testing.T) {
	const org, run = "org_01kb3f9x2re4dtqa1v9fz1m8qe", "run_01kb3f9x2rf8r8pmmnnk2j3q5z"
	assert.Equal(t, "tenon_Uz--qjujgWzGgnowDLl3Pp3z-RmnKWfZ", schema.IdempotencyKey(org, run, "/do/2/createBill"))
	seen := map[string]bool{}
	for _, parts := range [][3]string{{org, run, "/do/2/createBill"}, {org + "r", run[1:], "/do/2/createBill"}, {org, run, "/do/2/createBill'"}, {org, run + "/", "do/2/createBill"}} {
		seen[schema.IdempotencyKey(parts[0], parts[1], parts[2])] = true
	}
	assert.Len(t, seen, 4)
}
