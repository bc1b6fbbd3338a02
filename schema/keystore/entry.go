package keystore

import (
	"bytes"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// The names of database addresses in an entry: for the API's role and for the cell's.
const (
	DatabaseAPI  = "api"
	DatabaseCell = "cell"
)

const (
	purposeCredential = "credential key"
	purposeData       = "data key"
)

// DatabasePurpose is the purpose that a database address is wrapped under.
func DatabasePurpose(name string) string { return "database " + name }

// Entry is the wrapped keys of one cell: nothing in it opens without the root
// or the API private key.
type Entry struct {
	Organization string `json:"organization"`
	// Credentials are the credential pairs, current first.
	Credentials []CredentialPair `json:"credentials"`
	// DataKeys are the data keys, current first.
	DataKeys []DataKeyEntry `json:"data_keys"`
	// PublicSealed is the list of public keys, sealed with a data key. Without
	// it, who can write here could have credentials sealed to a key of his own.
	PublicSealed []byte `json:"public_sealed"`
	// Databases are wrapped addresses by name.
	Databases map[string]Database `json:"databases,omitempty"`
}

// CredentialPair is a credential key: its private half opens for the host only.
type CredentialPair struct {
	Public        seal.PublicKey `json:"public"`
	PrivateToRoot []byte         `json:"private_to_root"`
}

// DataKeyEntry is a data key, wrapped to both sides.
type DataKeyEntry struct {
	ID     seal.KeyID `json:"id"`
	ToRoot []byte     `json:"to_root"`
	ToAPI  []byte     `json:"to_api"`
}

// Database is a database address, which may hold a password.
type Database struct {
	ToRoot []byte `json:"to_root,omitempty"`
	ToAPI  []byte `json:"to_api,omitempty"`
}

// Generate makes the keys of a new cell.
func Generate(organization string, root, api seal.PublicKey) (Entry, error) {
	if err := schema.CheckID(schema.PrefixOrganization, organization); err != nil {
		return Entry{}, err
	}
	if root == api {
		return Entry{}, schema.Errorf(schema.CodeInvalid, "the root key and the API key must not be the same")
	}
	private, err := seal.NewPrivateKey()
	if err != nil {
		return Entry{}, err
	}
	data, err := seal.NewDataKey()
	if err != nil {
		return Entry{}, err
	}
	defer clear(private.Reveal())
	defer clear(data.Reveal())
	e := Entry{Organization: organization}
	pair := CredentialPair{Public: private.Public()}
	if pair.PrivateToRoot, err = seal.WrapKey(root, seal.Wrap{Organization: organization, Purpose: purposeCredential}, private.Reveal()); err != nil {
		return Entry{}, err
	}
	key := DataKeyEntry{ID: data.ID()}
	w := seal.Wrap{Organization: organization, Purpose: purposeData}
	if key.ToRoot, err = seal.WrapKey(root, w, data.Reveal()); err != nil {
		return Entry{}, err
	}
	if key.ToAPI, err = seal.WrapKey(api, w, data.Reveal()); err != nil {
		return Entry{}, err
	}
	e.Credentials, e.DataKeys = []CredentialPair{pair}, []DataKeyEntry{key}
	e.PublicSealed = seal.NewDataKeys(data).Seal(publicPlace(organization), e.publics())
	return e, nil
}

func publicPlace(organization string) seal.Place {
	return seal.Place{Organization: organization, Table: "keystore", Row: "credentials", Field: "public"}
}

// publics is the list of public keys in its order: which one is current counts.
func (e Entry) publics() []byte {
	out := make([]byte, 0, len(e.Credentials)*seal.KeySize)
	for _, c := range e.Credentials {
		out = append(out, c.Public[:]...)
	}
	return out
}

// checkPublics refuses public keys that no holder of the data key listed.
func (e Entry) checkPublics(keys seal.DataKeys) error {
	listed, err := keys.Open(publicPlace(e.Organization), e.PublicSealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(listed, e.publics()) {
		return schema.Errorf(schema.CodeRefused, "a public key in the key store was changed")
	}
	return nil
}

func (e Entry) whole() error {
	if len(e.Credentials) == 0 || len(e.DataKeys) == 0 || len(e.PublicSealed) == 0 {
		return schema.Errorf(schema.CodeInvalid, "the key store's entry of the cell has no keys")
	}
	return nil
}
