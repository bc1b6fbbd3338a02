package settings

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

const (
	// fileSuffix names the file that holds a secret setting.
	fileSuffix = "-file"
	// fileScheme, before a path, does so in the setting itself.
	fileScheme = "file:"
	// sizeLimit bounds the file of settings and the files of secrets.
	sizeLimit = 64 << 10
)

// source is one place that settings come from.
type source func(name string) (string, bool)

// value is the setting's value from the first source that has it.
func (s setting) value(flags *pflag.FlagSet, lookup func(string) (string, bool), file map[string]string) (string, error) {
	for i, from := range []source{
		func(name string) (string, bool) {
			f := flags.Lookup(name)
			if f == nil || !f.Changed {
				return "", false
			}
			return f.Value.String(), true
		},
		func(name string) (string, bool) { return lookup(envName(name)) },
		func(name string) (string, bool) { v, ok := file[name]; return v, ok },
	} {
		v, direct := from(s.name)
		if !s.secret {
			if direct {
				return v, nil
			}
			continue
		}
		path, named := from(s.name + fileSuffix)
		if direct && named {
			return "", schema.Errorf(schema.CodeInvalid, "settings %s and %s must not be given both", s.name, s.name+fileSuffix)
		}
		if direct && i == 0 {
			// Arguments are there for every user of the machine to see.
			return "", schema.Errorf(schema.CodeInvalid, "setting %s must not be given as an argument, which others can see", s.name).
				Advise("Use --" + s.name + "-file, or " + envName(s.name) + ".")
		}
		if p, ok := strings.CutPrefix(v, fileScheme); direct && ok {
			path, named, direct = p, true, false
		}
		switch {
		case named:
			return s.read(path)
		case direct && managed(v):
			return s.fetch(v)
		case direct:
			return v, nil
		}
	}
	return s.fallback, nil
}

// read reads a secret from a file of this user that nobody else may read.
func (s setting) read(path string) (string, error) {
	text, err := keyfile.ReadPrivate(path, sizeLimit)
	if err != nil {
		return "", schema.Errorf(schema.CodeInvalid, "setting %s must name a file of mode 0600 that this user can read: %w", s.name+fileSuffix, err)
	}
	defer clear(text)
	v := strings.TrimSpace(string(text))
	if v == "" {
		return "", schema.Errorf(schema.CodeInvalid, "setting %s names an empty file", s.name+fileSuffix)
	}
	return v, nil
}

// readFile reads the file of settings, if one is named.
func readFile(flags *pflag.FlagSet, lookup func(string) (string, bool)) (map[string]string, error) {
	path := ""
	if f := flags.Lookup("config"); f != nil && f.Changed {
		path = f.Value.String()
	} else if v, ok := lookup(envPrefix + "CONFIG"); ok {
		path = v
	}
	if path == "" {
		return nil, nil //nolint:nilnil // No file is no settings from it.
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "setting config must name a file that can be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil || len(text) > sizeLimit {
		return nil, schema.Errorf(schema.CodeInvalid, "setting config must name a file of at most %d bytes", sizeLimit)
	}
	var out map[string]string
	// The decoder's error may quote a value, so it is dropped.
	if yaml.Unmarshal(text, &out) != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the file of settings must be YAML of names and plain values")
	}
	return out, checkFile(f, out)
}

func checkFile(f *os.File, values map[string]string) error {
	known := make(map[string]setting)
	for _, s := range table() {
		known[s.name] = s
		if s.secret {
			known[s.name+fileSuffix] = setting{}
		}
	}
	for name, v := range values {
		s, ok := known[name]
		if !ok {
			return schema.Errorf(schema.CodeInvalid, "the file of settings has %q, which is no setting", name)
		}
		if !s.secret || strings.HasPrefix(v, fileScheme) || managed(v) {
			continue
		}
		if info, err := f.Stat(); err != nil || info.Mode().Perm()&0o077 != 0 {
			return schema.Errorf(schema.CodeInvalid, "the file of settings holds %s and must be of mode 0600", name)
		}
	}
	return nil
}
