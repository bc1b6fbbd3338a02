package keystore

import (
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

// APICell is what the API opens of an entry.
type APICell struct {
	Organization     string
	CredentialPublic seal.PublicKey
	DataKeys         seal.DataKeys
	Databases        map[string]string
}

// HostCell is what a host opens of an entry, to hand it down to the cell.
type HostCell struct {
	Organization string
	Private      []seal.PrivateKey
	DataKeys     []seal.DataKey
	Databases    map[string]string
}

// Generate makes the keys of a new cell.
func Generate(organization string, root, api seal.PublicKey) (Entry, error) {
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
	return e, nil
}

func (e Entry) whole() error {
	if len(e.Credentials) == 0 || len(e.DataKeys) == 0 {
		return schema.Errorf(schema.CodeInternal, "the key store's entry of the cell has no keys")
	}
	return nil
}

// OpenForAPI opens the data keys and the API's database addresses.
func (e Entry) OpenForAPI(private seal.PrivateKey) (APICell, error) {
	if err := e.whole(); err != nil {
		return APICell{}, err
	}
	keys, err := e.dataKeys(private, func(k DataKeyEntry) []byte { return k.ToAPI })
	if err != nil {
		return APICell{}, err
	}
	urls, err := e.databases(private, func(d Database) []byte { return d.ToAPI })
	if err != nil {
		return APICell{}, err
	}
	return APICell{
		Organization: e.Organization, CredentialPublic: e.Credentials[0].Public,
		DataKeys: seal.NewDataKeys(keys[0], keys[1:]...), Databases: urls,
	}, nil
}

// OpenForHost opens everything that a cell worker needs.
func (e Entry) OpenForHost(root seal.PrivateKey) (HostCell, error) {
	if err := e.whole(); err != nil {
		return HostCell{}, err
	}
	out := HostCell{Organization: e.Organization}
	for _, p := range e.Credentials {
		raw, err := seal.UnwrapKey(root, seal.Wrap{Organization: e.Organization, Purpose: purposeCredential}, p.PrivateToRoot)
		if err != nil {
			return HostCell{}, err
		}
		k, err := seal.ParsePrivateKey(raw)
		clear(raw)
		if err != nil {
			return HostCell{}, err
		}
		if k.Public() != p.Public {
			return HostCell{}, schema.Errorf(schema.CodeRefused, "a credential key in the key store is not the half of its public key")
		}
		out.Private = append(out.Private, k)
	}
	var err error
	if out.DataKeys, err = e.dataKeys(root, func(k DataKeyEntry) []byte { return k.ToRoot }); err != nil {
		return HostCell{}, err
	}
	out.Databases, err = e.databases(root, func(d Database) []byte { return d.ToRoot })
	return out, err
}

func (e Entry) dataKeys(private seal.PrivateKey, side func(DataKeyEntry) []byte) ([]seal.DataKey, error) {
	out := make([]seal.DataKey, 0, len(e.DataKeys))
	for _, d := range e.DataKeys {
		raw, err := seal.UnwrapKey(private, seal.Wrap{Organization: e.Organization, Purpose: purposeData}, side(d))
		if err != nil {
			return nil, err
		}
		k, err := seal.ParseDataKey(raw)
		clear(raw)
		if err != nil {
			return nil, err
		}
		if k.ID() != d.ID {
			return nil, schema.Errorf(schema.CodeRefused, "a data key in the key store is not the one its id names")
		}
		out = append(out, k)
	}
	return out, nil
}

func (e Entry) databases(private seal.PrivateKey, side func(Database) []byte) (map[string]string, error) {
	out := make(map[string]string, len(e.Databases))
	for name, d := range e.Databases {
		wrapped := side(d)
		if len(wrapped) == 0 {
			continue
		}
		raw, err := seal.UnwrapKey(private, seal.Wrap{Organization: e.Organization, Purpose: DatabasePurpose(name)}, wrapped)
		if err != nil {
			return nil, err
		}
		out[name] = string(raw)
		clear(raw)
	}
	return out, nil
}
