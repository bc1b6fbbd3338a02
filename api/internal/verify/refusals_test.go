package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// refused asserts that a request is refused, and like that of no source at all.
func refused(t *testing.T, s config.Source, r verify.Request) {
	t.Helper()
	m, err := verify.Verify(s, r)
	require.Error(t, err)
	assert.Equal(t, verify.Message{}, m)
	assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
	assert.Equal(t, verify.Nobody(r).Error(), err.Error(), "told apart from an unknown source")
}

// change returns the request with its headers copied and changed.
func change(r verify.Request, do func(http.Header)) verify.Request {
	r.Header = r.Header.Clone()
	do(r.Header)
	return r
}

// attacks are what the door must refuse of every verifier (invariant 5). nil:
// the attack does not apply to the kind.
var attacks = map[string]func(k kind) []verify.Request{
	"absent": func(k kind) []verify.Request {
		r := k.sign(k.source, now, k.body)
		out := []verify.Request{post(k.body)}
		for name := range r.Header {
			out = append(out, change(r, func(h http.Header) { h.Del(name) }))
		}
		return out
	},
	"empty": func(k kind) []verify.Request {
		r := k.sign(k.source, now, k.body)
		out := []verify.Request{}
		for name := range r.Header {
			out = append(out, change(r, func(h http.Header) { h.Set(name, "") }))
		}
		if k.signature != "Authorization" {
			r.Body = nil // A shared secret proves the sender, not the body.
			out = append(out, r)
		}
		return out
	},
	"truncated": func(k kind) []verify.Request {
		out := signatures(k, func(s string) string { return s[:len(s)-4] })
		if k.signature != "Authorization" {
			r := k.sign(k.source, now, k.body)
			r.Body = r.Body[:len(r.Body)-1]
			out = append(out, r)
		}
		return out
	},
	"re-encoded": func(k kind) []verify.Request {
		out := signatures(k, func(s string) string {
			at := strings.LastIndexAny(s, ",=:v ")
			for strings.HasSuffix(s[:at+1], "=") && at == len(s)-1 {
				at = strings.LastIndexAny(strings.TrimRight(s, "="), ",:v ")
			}
			encoded := s[at+1:]
			if k.encoding == "hex" {
				raw, err := hex.DecodeString(encoded)
				if err != nil {
					return s + "\n"
				}
				return s[:at+1] + base64.StdEncoding.EncodeToString(raw)
			}
			raw, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return s + "\n"
			}
			return s[:at+1] + hex.EncodeToString(raw)
		})
		if k.signature == "Authorization" || k.signature == "" {
			return out
		}
		r := k.sign(k.source, now, k.body)
		r.Body = append([]byte(k.body), '\n')
		spaced := k.sign(k.source, now, k.body)
		spaced.Body = []byte(strings.Replace(k.body, ":", ": ", 1) + " ")
		return append(out, r, spaced)
	},
	"stale": func(k kind) []verify.Request {
		if !k.stamped {
			return nil
		}
		return []verify.Request{k.sign(k.source, now.Add(-verify.Tolerance-time.Second), k.body)}
	},
	"future": func(k kind) []verify.Request {
		if !k.stamped {
			return nil
		}
		return []verify.Request{k.sign(k.source, now.Add(verify.Tolerance+time.Second), k.body)}
	},
	"replayed with a new timestamp": func(k kind) []verify.Request {
		if !k.stamped {
			return nil
		}
		r, later := k.sign(k.source, now, k.body), k.sign(k.source, now.Add(time.Second), k.body)
		var out []verify.Request
		for name := range r.Header {
			if r.Header.Get(name) != later.Header.Get(name) && http.CanonicalHeaderKey(k.signature) != name {
				out = append(out, change(r, func(h http.Header) { h.Set(name, later.Header.Get(name)) }))
			}
		}
		return out
	},
	"another source's": func(k kind) []verify.Request { return []verify.Request{k.sign(k.other, now, k.body)} },
	"wrong algorithm":  func(k kind) []verify.Request { return []verify.Request{k.weaker(k.source, now, k.body)} },
	"duplicate headers": func(k kind) []verify.Request {
		r := k.sign(k.source, now, k.body)
		var out []verify.Request
		for name := range r.Header {
			out = append(out, change(r, func(h http.Header) { h.Add(name, h.Get(name)) }))
		}
		return out
	},
	"flipped": func(k kind) []verify.Request {
		return signatures(k, func(s string) string {
			at := len(s) - 8
			flipped := byte('A')
			if s[at] == 'A' || s[at] == 'a' {
				flipped = 'B'
			}
			return s[:at] + string(flipped) + s[at+1:]
		})
	},
	"another method": func(k kind) []verify.Request {
		r := k.sign(k.source, now, k.body)
		r.Method = http.MethodGet
		return []verify.Request{r}
	},
	"another query": func(k kind) []verify.Request {
		if k.source.URL == "" {
			return nil
		}
		r := k.sign(k.source, now, k.body)
		r.Query = "a=b"
		return []verify.Request{r}
	},
}

func signatures(k kind, change func(string) string) []verify.Request {
	r := k.sign(k.source, now, k.body)
	if k.signature == "" {
		return nil
	}
	r.Header.Set(k.signature, change(r.Header.Get(k.signature)))
	return []verify.Request{r}
}

// Invariant 5: the list of refusals, for every verifier.
func TestEveryVerifierRefuses(t *testing.T) {
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			m, err := verify.Verify(k.source, k.sign(k.source, now, k.body))
			require.NoError(t, err, "a good message must pass, or nothing below means anything")
			again, err := verify.Verify(k.source, k.sign(k.source, now, k.body))
			require.NoError(t, err)
			require.Equal(t, m, again, "replayed, a message is the same message")
			require.NotEmpty(t, m.ID)
			tried := 0
			for attack, requests := range attacks {
				for _, r := range requests(k) {
					tried++
					t.Run(attack, func(t *testing.T) { refused(t, k.source, r) })
				}
			}
			require.Greater(t, tried, 4)
		})
	}
}

// Secrets overlap while a sender rotates, and end when they retire.
func TestEveryVerifierRotates(t *testing.T) {
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			both := k.source
			retires := now
			both.Secrets = append(values(first(k.other)), k.source.Secrets...)
			fresh, err := verify.Verify(both, k.sign(k.other, now, k.body))
			require.NoError(t, err)
			old, err := verify.Verify(both, k.sign(k.source, now, k.body))
			require.NoError(t, err)
			if k.signature != "" {
				assert.Equal(t, fresh.ID, old.ID, "the same message, signed again with the new secret, is the same")
			}
			both.Secrets[1].RetiresAt = &retires
			refused(t, both, k.sign(k.source, now, k.body))
			_, err = verify.Verify(both, k.sign(k.other, now, k.body))
			require.NoError(t, err)
			both.Secrets[0].RetiresAt = &retires
			refused(t, both, k.sign(k.other, now, k.body))
		})
	}
}

// Invariant 5: what is missing a part of its description verifies nothing.
func TestIncompleteSources(t *testing.T) {
	for name, k := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			r := k.sign(k.source, now, k.body)
			for what, spoil := range map[string]func(*config.Source){
				"no verifier":      func(s *config.Source) { s.Verifier = "" },
				"unknown verifier": func(s *config.Source) { s.Verifier = "none" },
				"no secrets":       func(s *config.Source) { s.Secrets = nil },
				"an empty secret":  func(s *config.Source) { s.Secrets = values("") },
				"a short secret":   func(s *config.Source) { s.Secrets = values("whsec_AAAA") },
				"too many secrets": func(s *config.Source) {
					for range 8 {
						s.Secrets = append(s.Secrets, s.Secrets[0])
					}
				},
				"certificates": func(s *config.Source) { s.MTLS = &config.MTLS{} },
			} {
				s := k.source
				spoil(&s)
				err := verify.Check(s)
				require.Error(t, err, what)
				assert.NotContains(t, err.Error(), first(k.source))
				refused(t, s, r)
			}
		})
	}
}
