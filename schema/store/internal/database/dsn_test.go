package database_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// Whatever the URL: what is accepted reaches another machine over verified TLS
// only, and what is refused is not quoted.
func FuzzPostgresDSN(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@localhost/db", "postgres://u:p@db.example.com:5432/db?sslmode=require", "postgres:///db?host=/run/pg",
		"postgresql://[::1]/x", "postgres://u@10.0.0.1?host=/tmp", "postgres://h/x?host=127.0.0.1,evil.example&sslmode=disable", "sqlite:/x", "://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		dsn, err := database.PostgresDSN(address, "door", false)
		if err != nil {
			if len(address) > 20 && strings.Contains(err.Error(), address) {
				t.Fatalf("the error quotes the URL: %v", err)
			}
			return
		}
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatalf("not a URL: %v", err)
		}
		q := u.Query()
		hosts := u.Hostname()
		if h := q.Get("host"); h != "" {
			hosts = h
		}
		for host := range strings.SplitSeq(hosts, ",") {
			if strings.Contains(host, "example") && q.Get("sslmode") != "verify-full" {
				t.Fatalf("%s without verified TLS", host)
			}
		}
		if q.Get("search_path") != "door" {
			t.Fatal("the schema is lost")
		}
	})
}
