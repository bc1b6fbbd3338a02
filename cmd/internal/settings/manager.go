package settings

import (
	"context"
	"strings"
	"time"

	"gocloud.dev/runtimevar"
	// The secret managers that a secret setting may name.
	_ "gocloud.dev/runtimevar/awssecretsmanager"
	_ "gocloud.dev/runtimevar/gcpsecretmanager"

	"github.com/tenonhq/tenon/schema"
)

// managerPatience bounds the wait for a secret manager.
const managerPatience = 15 * time.Second

// managers are the beginnings of references into secret managers.
var managers = []string{"awssecretsmanager://", "gcpsecretmanager://"}

// managed tells whether a setting names a secret in a secret manager.
func managed(v string) bool {
	for _, m := range managers {
		if strings.HasPrefix(v, m) {
			return true
		}
	}
	return false
}

// fetch reads a secret from the manager that the reference names. It is read
// once, at the start. Neither the reference's parameters nor what came back are
// quoted in an error.
func (s setting) fetch(reference string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), managerPatience)
	defer cancel()
	unavailable := func(err error) error {
		return schema.Errorf(schema.CodeUnavailable, "setting %s could not be read from the secret manager that it names: %w", s.name, err).
			Advise("Is the reference of the form awssecretsmanager://NAME?region=REGION&decoder=string or gcpsecretmanager://projects/PROJECT/secrets/NAME?decoder=string, and may this machine read it?")
	}
	variable, err := runtimevar.OpenVariable(ctx, reference)
	if err != nil {
		return "", unavailable(err)
	}
	defer func() { _ = variable.Close() }()
	// Not Latest, which waits for a good value as long as the context lasts.
	snapshot, err := variable.Watch(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	var v string
	switch value := snapshot.Value.(type) {
	case string:
		v = strings.TrimSpace(value)
	case []byte:
		v = strings.TrimSpace(string(value))
	default:
		return "", schema.Errorf(schema.CodeInvalid, "setting %s names a secret that is not text: use decoder=string", s.name)
	}
	if v == "" {
		return "", schema.Errorf(schema.CodeInvalid, "setting %s names an empty secret", s.name)
	}
	return v, nil
}
