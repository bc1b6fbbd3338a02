package settings

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema/bell"
)

// idle is how long a cell has nothing to do before it sleeps.
func idle(v string) string {
	d, err := time.ParseDuration(v)
	if err == nil && (d == 0 || d >= time.Second && d <= 24*time.Hour) {
		return ""
	}
	return "a duration from 1s to 24h, such as 90s, or 0"
}

func nonEmpty(v string) string {
	if strings.TrimSpace(v) == "" {
		return "a path"
	}
	return ""
}

func oneOf(values ...string) func(string) string {
	return func(v string) string {
		if slices.Contains(values, v) {
			return ""
		}
		return "one of " + strings.Join(values, ", ")
	}
}

func address(v string) string {
	const must = "host:port"
	host, port, err := net.SplitHostPort(v)
	if err != nil || strings.ContainsAny(host, "/@ ") {
		return must
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return must
	}
	return ""
}

func loopback(v string) string {
	const must = "a loopback address, such as 127.0.0.1:8080"
	host, _, err := net.SplitHostPort(v)
	if err != nil || address(v) != "" || !local(host) {
		return must
	}
	return ""
}

// webURL holds plaintext to this machine: tokens and keys travel to where it leads.
func webURL(v string) string {
	const must = "an address such as https://tenon.example:8443, or an http one of this machine"
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" {
		return must
	}
	if u.Scheme == "https" || u.Scheme == "http" && local(u.Hostname()) {
		return ""
	}
	return must
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// postgresURL holds plaintext to this machine. What decides where the driver
// connects is judged, so each part may be there once only, and none by another way.
func postgresURL(v string) string {
	const must = "a URL such as postgres://user@host/database"
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return must
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return must
	}
	for name, values := range query {
		switch strings.ToLower(name) {
		case "hostaddr", "service", "servicefile", "passfile":
			return must + ", without " + strings.ToLower(name)
		}
		if len(values) > 1 || name != strings.ToLower(name) {
			return must + ", with each parameter once"
		}
	}
	host := u.Hostname()
	if h := query.Get("host"); h != "" {
		host = h
	}
	if strings.HasPrefix(host, "/") && !strings.Contains(host, ",") || local(host) {
		return ""
	}
	if query.Get("sslmode") != "verify-full" {
		return must + "?sslmode=verify-full: beyond loopback or a Unix socket only verified TLS is used"
	}
	return ""
}

func redisURL(v string) string {
	if err := bell.CheckRedisURL(v); err != nil {
		return "an address such as rediss://user@host:6380/0: beyond loopback or a Unix socket only verified TLS is used"
	}
	return ""
}
