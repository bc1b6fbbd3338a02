package store_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tenonhq/tenon/schema/store"
)

func TestTLSFiles(t *testing.T) {
	const one = "postgres://u:p@db/x?sslmode=verify-full&sslrootcert=%2Fa%2Fca.pem"
	assert.Equal(t, []string{"/a/ca.pem"}, store.TLSFiles(one, one))
	assert.Equal(t, []string{"/a/ca.pem", "/c", "/k"}, store.TLSFiles(one, "postgres://db/x?sslkey=/k&sslcert=/c"))
	assert.Empty(t, store.TLSFiles("sqlite:/x?sslrootcert=/a", "", "%zz", "postgres://db/x?sslrootcert="))
}
