package config

import (
	"encoding/json"
	"errors"
)

// errDatabases never quotes the value: a database URL may hold a password.
var errDatabases = errors.New("config: the databases of the cell are not a JSON object with door and work")

// Databases are the addresses of a cell's two sides for one role. The key
// store keeps them, encoded and wrapped, under that role's name.
type Databases struct {
	Door string `json:"door"`
	Work string `json:"work"`
}

// Encode is what is wrapped.
func (d Databases) Encode() (string, error) {
	if d.Door == "" || d.Work == "" {
		return "", errDatabases
	}
	encoded, err := json.Marshal(d)
	if err != nil {
		return "", errDatabases
	}
	return string(encoded), nil
}

// DecodeDatabases is the reverse of Encode. A value that is no JSON object is
// one address that serves both sides.
func DecodeDatabases(encoded string) (Databases, error) {
	if encoded == "" {
		return Databases{}, errDatabases
	}
	if encoded[0] != '{' {
		return Databases{Door: encoded, Work: encoded}, nil
	}
	var d Databases
	if err := json.Unmarshal([]byte(encoded), &d); err != nil || d.Door == "" || d.Work == "" {
		return Databases{}, errDatabases
	}
	return d, nil
}
