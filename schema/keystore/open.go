package keystore

import (
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

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

// OpenForAPI opens the data keys and the API's database addresses.
func (e Entry) OpenForAPI(private seal.PrivateKey) (APICell, error) {
	if err := e.whole(); err != nil {
		return APICell{}, err
	}
	keys, err := e.dataKeys(private, func(k DataKeyEntry) []byte { return k.ToAPI })
	if err != nil {
		return APICell{}, err
	}
	data := seal.NewDataKeys(keys[0], keys[1:]...)
	if err := e.checkPublics(data); err != nil {
		return APICell{}, err
	}
	urls, err := e.databases(private, func(d Database) []byte { return d.ToAPI })
	if err != nil {
		return APICell{}, err
	}
	return APICell{
		Organization: e.Organization, CredentialPublic: e.Credentials[0].Public, DataKeys: data, Databases: urls,
	}, nil
}

// OpenForHost opens everything that a cell worker needs.
func (e Entry) OpenForHost(root seal.PrivateKey) (HostCell, error) {
	if err := e.whole(); err != nil {
		return HostCell{}, err
	}
	keys, err := e.dataKeys(root, func(k DataKeyEntry) []byte { return k.ToRoot })
	if err != nil {
		return HostCell{}, err
	}
	if err := e.checkPublics(seal.NewDataKeys(keys[0], keys[1:]...)); err != nil {
		return HostCell{}, err
	}
	out := HostCell{Organization: e.Organization, DataKeys: keys}
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
