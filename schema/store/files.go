package store

import (
	"net/url"
	"slices"
	"strings"
)

// TLSFiles are the files that the driver reads when it connects to a database:
// its authority, and a client's certificate and key. A process that confines
// itself keeps them.
func TLSFiles(databases ...string) []string {
	var files []string
	for _, database := range databases {
		if strings.HasPrefix(database, sqliteScheme) {
			continue
		}
		u, err := url.Parse(database)
		if err != nil {
			continue // Opening it says so.
		}
		for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
			if f := u.Query().Get(name); f != "" && !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files
}
