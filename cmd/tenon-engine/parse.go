package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/tenonhq/tenon/schema"
)

// parse reads the settings. A decoder's error may quote what it read, and that
// may be the database's password: only the field is named.
func parse(text []byte) (settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var set settings
	if err := decoder.Decode(&set); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return settings{}, schema.Errorf(schema.CodeInvalid, "a setting is of the wrong type").At("/" + wrong.Field)
		}
		return settings{}, schema.Errorf(schema.CodeInvalid, "the configuration is not the JSON object that it must be, or has a setting that does not exist")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return settings{}, schema.Errorf(schema.CodeInvalid, "something follows the configuration")
	}
	return set, nil
}
