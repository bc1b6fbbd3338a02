package broker

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

func TestCanonicalOrigin(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://API.Example.COM":                 "api.example.com:443",
		"https://api.example.com.":                "api.example.com:443",
		"https://api.example.com:0443/":           "api.example.com:443",
		"https://api.example.com:":                "api.example.com:443",
		"HTTPS://api.example.com:8443/x?y#z":      "api.example.com:8443",
		"http://api.example.com":                  "api.example.com:80",
		"https://Bücher.example":                  "xn--bcher-kva.example:443",
		"https://xn--bcher-kva.example":           "xn--bcher-kva.example:443",
		"https://ａｐｉ.example.com":                 "api.example.com:443",
		"https://api。example。com":                 "api.example.com:443",
		"https://１２７.0.0.1":                       "127.0.0.1:443",
		"https://[::1]:8443":                      "[::1]:8443",
		"https://[0:0:0:0:0:0:0:1]":               "[::1]:443",
		"https://[::ffff:127.0.0.1]":              "127.0.0.1:443",
		"https://[2001:DB8::1]":                   "[2001:db8::1]:443",
		"https://127.0.0.1?x=1":                   "127.0.0.1:443",
		"https://with_underscore.example/a/../b":  "with_underscore.example:443",
		"https://api.example.com#@evil.example":   "api.example.com:443",
		"https://api.example.com/@evil.example":   "api.example.com:443",
		"https://api.example.com?@evil.example/x": "api.example.com:443",
	} {
		got, err := parseTarget(raw)
		if assert.NoError(t, err, raw) {
			assert.Equal(t, want, got.origin.String(), raw)
		}
	}
}

func TestRefusedURLs(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "/relative", "//host/x", "host/x", "ftp://host", "https:host", "https:/host", "https:///x", "https://", "javascript:x",
		"https://user@host", "https://user:pw@host", "https://@host", "https://host%2eexample", "https://ho%73t",
		"https://[::1%25eth0]", "https://[fe80::1%eth0]", "https://[::1", "https://::1/", "https://[127.0.0.1]", "https://[::1]x",
		"https://host:99999", "https://host:0", "https://host:-1", "https://host:4a3", "https://host:80:80", "https://host:+80",
		"https://127.1", "https://0x7f.0.0.1", "https://0x7f000001", "https://2130706433", "https://0177.0.0.1", "https://127.0.0.01",
		"https://127.0.0.1.", "https://1.2.3.4.5", "https://0x", "https://host.0x7f", "https://a..b", "https://.a", "https://a..",
		"https://-a", "https://a-", "https://a*b", "https://*.example.com", "https://a,b", "https://a;b", "https://a!b",
		"https://ho st", "https://host/\x00", "https://host/a b", "https://host\\@evil", "https://host/\r\nX: y", "https://host/\t",
		"https://host/%", "https://host/%zz", "https://host\u200b.example\u2028", "https://" + strings.Repeat("a", 64) + ".example",
		"https://xn--a.example", "https://host/" + strings.Repeat("a", maxURL), " https://host", "https://①②⑦.0.0.1:x",
	} {
		got, err := parseTarget(raw)
		if raw == "https://127.0.0.1." { // a dotted quad with a trailing dot is still that address
			require.NoError(t, err)
			assert.Equal(t, "127.0.0.1:443", got.origin.String())
			continue
		}
		if assert.Errorf(t, err, "%q", raw) {
			assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		}
	}
}

func TestBinding(t *testing.T) {
	t.Parallel()
	use := seal.Use{Hosts: []string{"api.example.com", "10.0.0.7:8443", "[::1]:9", "::1", "BÜCHER.example"}}
	for raw, bound := range map[string]bool{
		"https://api.example.com/x":          true,
		"https://API.EXAMPLE.COM.:443/x":     true,
		"https://api.example.com:8443/x":     false,
		"http://api.example.com/x":           false,
		"http://api.example.com:443/x":       false,
		"https://xapi.example.com/":          false,
		"https://api.example.com.evil.com/":  false,
		"https://example.com/":               false,
		"https://10.0.0.7:8443/":             true,
		"https://[::ffff:10.0.0.7]:8443/":    true,
		"https://[::ffff:a00:7]:8443/":       true,
		"https://[64:ff9b::a00:7]:8443/":     false,
		"https://10.0.0.7/":                  false,
		"https://[::1]:9/":                   true,
		"https://[::1]/":                     true,
		"https://xn--bcher-kva.example/":     true,
		"https://api.example.com/api?h=evil": true,
	} {
		target, err := parseTarget(raw)
		require.NoError(t, err, raw)
		_, err = bind(target, use, true)
		assert.Equal(t, bound, err == nil, "%s: %v", raw, err)
		if err != nil {
			assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		}
	}
	target, err := parseTarget("http://api.example.com/")
	require.NoError(t, err)
	_, err = bind(target, seal.Use{}, true)
	require.Error(t, err, "a credential that is bound to no host goes nowhere")
	_, err = bind(target, seal.Use{PlainHTTP: true}, false)
	require.Error(t, err, "any host is https only")
	_, err = bind(target, seal.Use{PlainHTTP: true, Hosts: []string{"api.example.com"}}, true)
	require.NoError(t, err)
}

func TestPathPrefix(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1/orders":            "/v1/orders",
		"/v1":                   "/v1",
		"/v1/":                  "/v1/",
		"/v1/a/../b":            "/v1/b",
		"/v1/./b/.":             "/v1/b/",
		"/x/../v1/b":            "/v1/b",
		"/%76%31/b":             "/v1/b",
		"/v1/a%20b%c3%a4":       "/v1/a%20b%C3%A4",
		"/v1/ä":                 "/v1/%C3%A4",
		"/v1/100%25":            "/v1/100%25",
		"/v10":                  "",
		"/v1x/b":                "",
		"/":                     "",
		"/V1/b":                 "",
		"/v1/../v2":             "",
		"/v1/..":                "",
		"/v1/../../v1":          "/v1",
		"/v1/%2e%2e/v2":         "",
		"/v1/%2E./v2":           "",
		"/v1/a%2fb":             "",
		"/v1/a%5cb":             "",
		"/v1/%252e%252e/v2":     "",
		"/v1/..;/v2":            "",
		"/v1/..;a=b/v2":         "",
		"/v1/..%3b/v2":          "",
		"/v1/;/v2":              "",
		"/v1//../../v2":         "",
		"/v1//b":                "",
		"/v1/%00":               "",
		"/v1/%c0%ae%c0%ae/v2":   "",
		"//v1/b":                "",
		"/v1/a;jsession=1/b":    "/v1/a;jsession=1/b",
		"/v1/.../b":             "/v1/.../b",
		"/v1/b?x=../../v2#../x": "/v1/b",
	} {
		target, err := parseTarget("https://host" + path)
		require.NoError(t, err, path)
		route, err := bind(target, seal.Use{Hosts: []string{"host"}, PathPrefix: "/v1"}, true)
		if want == "" {
			require.Error(t, err, path)
			continue
		}
		if assert.NoError(t, err, path) {
			assert.Equal(t, want, route.path, path)
		}
	}
	_, err := underPrefix("/v1", "/v1/")
	require.Error(t, err)
	_, err = underPrefix("/v1/x", "/v1/")
	require.NoError(t, err)
}

// FuzzTarget holds the canonicaliser against net/url: where both read a URL
// they agree on where it goes, and what is rebuilt reads back the same.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"https://api.example.com/v1/x?y=z#f", "https://[::ffff:1.2.3.4]:8443", "https://ａ.example:0443/..;/%2e", "https://127.1",
		"https://a@b", "https://a\\b", "http://xn--bcher-kva.example./%C3%A4/ä?ä=%", "https://host:/?", "https://1.2.3.4.", "https://0x.0X",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := parseTarget(raw)
		if err != nil {
			if raw != "" {
				assert.NotContains(t, err.Error(), "\n")
			}
			return
		}
		reference, err := url.Parse(raw)
		if err == nil {
			host, _, hostErr := canonicalHost(reference.Hostname())
			require.NoError(t, hostErr)
			require.Equal(t, target.origin.host, host)
			require.Nil(t, reference.User)
		}
		rebuilt := target.url(target.query)
		uri := rebuilt.RequestURI()
		require.True(t, strings.HasPrefix(uri, "/"), uri)
		for i := range len(uri) {
			require.True(t, uri[i] > ' ' && uri[i] < 0x7f, "%q", uri)
		}
		again, err := parseTarget(rebuilt.String())
		require.NoError(t, err, rebuilt.String())
		require.Equal(t, target.origin, again.origin)
		require.Equal(t, target.path, again.path)
		if route, err := bind(target, seal.Use{Hosts: []string{target.origin.String()}, PathPrefix: "/v1", PlainHTTP: true}, true); err == nil {
			target.path = route.path
			clean, err := url.PathUnescape(route.path)
			require.NoError(t, err)
			require.True(t, clean == "/v1" || strings.HasPrefix(clean, "/v1/"), clean)
			for segment := range strings.SplitSeq(clean, "/") {
				name, _, _ := strings.Cut(segment, ";")
				require.NotContains(t, []string{".", ".."}, name)
			}
			require.Equal(t, route.path, target.url("").EscapedPath())
		}
	})
}
