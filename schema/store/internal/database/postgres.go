package database

import (
	"net"
	"net/url"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// PostgresDSN checks the URL and adds the settings of our sessions. Beyond
// this machine only verified TLS will do. No error quotes the URL, which may
// hold a password.
func PostgresDSN(text, searchPath string, readOnly bool) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", schema.Errorf(schema.CodeInvalid, "a database URL must begin with sqlite: or postgres://")
	}
	q := u.Query()
	host := u.Hostname()
	if h := q.Get("host"); h != "" {
		host = h
	}
	if local(host) {
		if q.Get("sslmode") == "" {
			q.Set("sslmode", "disable")
		}
	} else if mode := q.Get("sslmode"); mode != "verify-full" {
		if mode != "" {
			return "", schema.Errorf(schema.CodeInvalid, "PostgreSQL on another machine needs sslmode=verify-full")
		}
		q.Set("sslmode", "verify-full")
	}
	if searchPath != "" {
		q.Set("search_path", searchPath)
	}
	q.Set("timezone", "UTC")
	q.Set("application_name", "tenon")
	// A stuck statement must not hold the writers' lock for ever.
	for name, value := range map[string]string{
		"statement_timeout":                   "30000",
		"idle_in_transaction_session_timeout": "30000",
		"connect_timeout":                     "10",
	} {
		if q.Get(name) == "" {
			q.Set(name, value)
		}
	}
	// Every statement that runs often has an index made for it. A plan is kept for as long
	// as its session, and one that was made for an empty table reads the whole of a large
	// one from then on, until the server counts the table's rows again.
	for _, plan := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		if q.Get(plan) == "" {
			q.Set(plan, "off")
		}
	}
	if readOnly {
		q.Set("default_transaction_read_only", "on")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// local tells a Unix socket or loopback from another machine. Every host of a
// list must be local.
func local(hosts string) bool {
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
			continue
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return true
}
