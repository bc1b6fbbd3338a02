package broker

import (
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// route is what binding decided: the path to send and where addresses may lie.
type route struct {
	path  string
	reach reach
}

// bind decides whether a request may go where it wants to. It upholds the
// second half of invariant 4: a credential goes to a host it is bound to only.
func bind(t target, use seal.Use, credentialed bool) (route, error) {
	if len(use.Hosts) == 0 {
		if credentialed {
			return route{}, schema.Errorf(schema.CodeRefused, "the credential is bound to no host").
				Advise("Save the credential again and name the hosts it may be sent to.")
		}
		if t.scheme != "https" {
			return route{}, refusedPlain()
		}
	} else if t.scheme != "https" && !use.PlainHTTP {
		return route{}, refusedPlain()
	}
	r := route{path: t.path, reach: reachPublic}
	if len(use.Hosts) > 0 {
		if err := listed(t, use.Hosts); err != nil {
			return route{}, err
		}
		r.reach = reachOf(t)
	}
	if use.PathPrefix != "" && use.PathPrefix != "/" {
		path, err := underPrefix(t.path, use.PathPrefix)
		if err != nil {
			return route{}, err
		}
		r.path = path
	}
	return r, nil
}

// Bound tells whether an address is on a host that a use names: CodeRefused when it
// is not, CodeInvalid when it is no address.
func Bound(address string, use seal.Use) error {
	t, err := parseTarget(address)
	if err != nil {
		return err
	}
	return listed(t, use.Hosts)
}

func listed(t target, hosts []string) error {
	for _, entry := range hosts {
		if strings.Count(entry, ":") > 1 && entry[0] != '[' {
			entry = "[" + entry + "]" // a bare IPv6 address has no port
		}
		o, err := parseOrigin(entry)
		if err != nil {
			return schema.Errorf(schema.CodeRefused, "a host that the connection is bound to is not valid: %w", err)
		}
		if o.port == 0 {
			o.port = defaultPort(t.scheme)
		}
		if o == t.origin {
			return nil
		}
	}
	return schema.Errorf(schema.CodeRefused, "the connection is not bound to %s", t.origin).At("/url").
		Advise("Only hosts named when the credential was saved can be called; naming another means entering the credential again.")
}

// reachOf is how far the addresses of a listed host may reach. A name can be
// made to point anywhere by whoever runs its zone; TLS proves that the right
// server answers before anything is sent, plain HTTP does not.
func reachOf(t target) reach {
	switch {
	case t.origin.address.IsValid():
		return reachLiteral
	case t.scheme == "https", t.origin.host == "localhost", strings.HasSuffix(t.origin.host, ".localhost"):
		return reachLocal
	default:
		return reachPrivate
	}
}

func refusedPlain() error {
	return schema.Errorf(schema.CodeRefused, "plain HTTP is not allowed for this connection").At("/url").
		Advise("Use https://, or permit plain HTTP when saving the credential.")
}
