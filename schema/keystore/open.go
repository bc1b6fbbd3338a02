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
	// Retiring and RetiringPairs are the keys of data and of credentials that
	// nothing may stay under.
	Retiring, RetiringPairs []seal.KeyID
}

// HostCell is what a host opens of an entry, to hand it down to the cell.
type HostCell struct {
	Organization string
	Private      []seal.PrivateKey
	DataKeys     []seal.DataKey
	// AuditKeys are empty where data keys seal the log.
	AuditKeys []seal.DataKey
	Databases map[string]string
	// Retiring and RetiringPairs are the keys of data and of credentials that
	// nothing may stay under; Changing says that a rotation is under way.
	Retiring, RetiringPairs []seal.KeyID
	Changing                bool
}

// Set is the cell's data keys as they are used.
func Set(data, audit []seal.DataKey) seal.DataKeys {
	set := seal.NewDataKeys(data[0], data[1:]...)
	if len(audit) > 0 {
		set = set.WithAudit(audit[0], audit[1:]...)
	}
	return set
}

// holder is who opens an entry: with one private key or, while its pair is
// being replaced, with both.
type holder []seal.PrivateKey

// unwrap opens a wrap with the key that it is for.
func (h holder) unwrap(w seal.Wrap, wrapped []byte) ([]byte, error) {
	id, _ := seal.KeyOf(wrapped)
	for _, k := range h {
		if k.Public().ID() == id {
			return seal.UnwrapKey(k, w, wrapped)
		}
	}
	return nil, schema.Errorf(schema.CodeRefused, "a key was wrapped to another key than this process has")
}

func toAPI(k DataKeyEntry) []byte  { return k.ToAPI }
func toRoot(k DataKeyEntry) []byte { return k.ToRoot }

// OpenForAPI opens the data keys and the API's database addresses.
func (e Entry) OpenForAPI(private ...seal.PrivateKey) (APICell, error) {
	if err := e.whole(); err != nil {
		return APICell{}, err
	}
	keys, err := e.dataKeys(private, purposeData, e.DataKeys, toAPI)
	if err != nil {
		return APICell{}, err
	}
	log, err := e.dataKeys(private, purposeAudit, e.auditKeys(), toAPI)
	if err != nil {
		return APICell{}, err
	}
	data := Set(keys, log)
	if err := e.checkPublics(data); err != nil {
		return APICell{}, err
	}
	urls, err := e.databases(private, func(d Database) []byte { return d.ToAPI })
	if err != nil {
		return APICell{}, err
	}
	out := APICell{Organization: e.Organization, CredentialPublic: e.Credentials[0].Public, DataKeys: data, Databases: urls}
	out.Retiring, out.RetiringPairs = e.Retiring()
	return out, nil
}

// OpenForHost opens everything that a cell worker needs.
func (e Entry) OpenForHost(root ...seal.PrivateKey) (HostCell, error) {
	if err := e.whole(); err != nil {
		return HostCell{}, err
	}
	keys, err := e.dataKeys(root, purposeData, e.DataKeys, toRoot)
	if err != nil {
		return HostCell{}, err
	}
	log, err := e.dataKeys(root, purposeAudit, e.auditKeys(), toRoot)
	if err != nil {
		return HostCell{}, err
	}
	if err := e.checkPublics(Set(keys, nil)); err != nil {
		return HostCell{}, err
	}
	out := HostCell{Organization: e.Organization, DataKeys: keys, AuditKeys: log, Changing: e.changing()}
	out.Retiring, out.RetiringPairs = e.Retiring()
	for _, p := range e.Credentials {
		raw, err := holder(root).unwrap(seal.Wrap{Organization: e.Organization, Purpose: purposeCredential}, p.PrivateToRoot)
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

func (e Entry) dataKeys(private holder, purpose string, keys []DataKeyEntry, side func(DataKeyEntry) []byte) ([]seal.DataKey, error) {
	out := make([]seal.DataKey, 0, len(keys))
	for _, d := range keys {
		raw, err := private.unwrap(seal.Wrap{Organization: e.Organization, Purpose: purpose}, side(d))
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

// auditKeys leaves out the first that a cell is getting until it is current: the
// first of the list seals.
func (e Entry) auditKeys() []DataKeyEntry {
	if len(e.AuditKeys) > 0 && e.AuditKeys[0].State == StateNext {
		return nil
	}
	return e.AuditKeys
}

func (e Entry) databases(private holder, side func(Database) []byte) (map[string]string, error) {
	out := make(map[string]string, len(e.Databases))
	for name, d := range e.Databases {
		wrapped := side(d)
		if len(wrapped) == 0 {
			continue
		}
		raw, err := private.unwrap(seal.Wrap{Organization: e.Organization, Purpose: DatabasePurpose(name)}, wrapped)
		if err != nil {
			return nil, err
		}
		out[name] = string(raw)
		clear(raw)
	}
	return out, nil
}
