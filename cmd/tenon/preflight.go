package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker/process"
)

// lockPatience is how long "tenon up" waits for the children of one that was
// killed to end.
const lockPatience = 2 * time.Second

// lock makes this the data directory's only "tenon up". It is held while the
// process lives.
func (p *parent) lock(ctx context.Context) (*os.File, error) {
	f, err := process.Lock(ctx, filepath.Join(p.run, "up.lock"), lockPatience)
	if schema.CodeOf(err) == schema.CodeConflict {
		return nil, schema.Errorf(schema.CodeConflict, "another tenon up runs on the data directory %s", p.Data).
			Advise("Stop it first, or choose another directory with --data.")
	}
	return f, err
}

// preflight refuses addresses that cannot be listened on, before anything is
// started: the processes themselves would be restarted for ever.
func (p *parent) preflight(ctx context.Context) error {
	var lc net.ListenConfig
	for _, a := range []struct{ setting, address string }{
		{"api-address", p.API}, {"ui-address", p.UI}, {"engine-address", p.Engine},
	} {
		l, err := lc.Listen(ctx, "tcp", a.address)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "setting %s: %s cannot be listened on: %w", a.setting, a.address, err).
				Advise("Is something else running there? Otherwise choose another address with --" + a.setting + ".")
		}
		if err := l.Close(); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "setting %s: %s cannot be listened on: %w", a.setting, a.address, err)
		}
	}
	return nil
}

// plainName is what the engine takes as the beginning of its databases' names.
var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// enginePrefix names the engine's databases after the platform's own, so that
// two platforms on one server do not share an engine. It is empty, which is the
// engine's default, when the name does not serve.
func enginePrefix(postgres string) string {
	u, err := url.Parse(postgres)
	if err != nil {
		return ""
	}
	if name := strings.TrimPrefix(u.Path, "/"); plainName.MatchString(name) {
		return name + "_"
	}
	return ""
}
