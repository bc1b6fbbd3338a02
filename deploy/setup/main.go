package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// setup is what both commands know.
type setup struct {
	out             string
	data, tenon     string
	database        string
	trusted         string
	redisAddress    string
	redisPrivate    string
	apiNames        []string
	owner, postgres int // user ids; -1 leaves the owner as it is
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return schema.Errorf(schema.CodeInvalid, "say what to set up: certificates or keys")
	}
	var s setup
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.StringVar(&s.out, "out", "/out", "`directory` with a directory for each service")
	flags.StringVar(&s.data, "data", "/data", "data `directory` of tenon init")
	flags.StringVar(&s.tenon, "tenon", "tenon", "the tenon `program`")
	flags.StringVar(&s.database, "database", "postgres:5432", "`address` of PostgreSQL")
	flags.StringVar(&s.trusted, "trusted", "/etc/tenon/tls/ca.pem", "where the services see the authority's `certificate`")
	flags.StringVar(&s.redisAddress, "redis", "redis:6379", "`address` of Redis")
	flags.StringVar(&s.redisPrivate, "redis-private", "/private", "where Redis sees its own `directory`")
	names := flags.String("api-names", "localhost", "`names` by which clients reach the API, with commas between them")
	flags.IntVar(&s.owner, "owner", -1, "user `id` of the services")
	flags.IntVar(&s.postgres, "postgres-owner", -1, "user `id` of PostgreSQL and Redis")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	s.apiNames = append(strings.Split(*names, ","), "api")
	switch args[0] {
	case "certificates":
		return s.certificates()
	case "keys":
		return s.keys(ctx)
	default:
		return schema.Errorf(schema.CodeInvalid, "there is nothing called %q to set up", args[0])
	}
}

// write puts a file into a service's directory, for the service's user. One that
// says so already stays, for who may read that file only, but gets its owner: an
// earlier run may have been killed before it gave it.
func (s setup) write(owner int, mode os.FileMode, text []byte, path ...string) error {
	there, err := s.have(path...)
	if err != nil {
		return err
	}
	defer clear(there)
	name := filepath.Join(append([]string{s.out}, path...)...)
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a service's directory cannot be made: %w", err)
	}
	if there == nil || !bytes.Equal(there, text) {
		if err := keyfile.Replace(name, text, mode); err != nil {
			return err
		}
	}
	if owner < 0 {
		return nil
	}
	for _, p := range []string{name, dir} {
		if err := os.Chown(p, owner, owner); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "a service's file cannot be given to it: %w", err)
		}
	}
	return nil
}

// have reads what an earlier run made, nil when there is nothing. What cannot be
// read is not taken for missing: another would be made in its place.
func (s setup) have(path ...string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(append([]string{s.out}, path...)...))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "what an earlier run made cannot be read: %w", err)
	}
	return text, nil
}
