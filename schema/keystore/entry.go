package keystore

import (
	"bytes"
	"slices"

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
	purposeAudit      = "audit key"
)

// The states of a key on its way in and out. A key without one is the current
// key, the first of its list, or an older one that still opens.
const (
	// StateNext: it opens, and seals nothing yet.
	StateNext = "next"
	// StateRetiring: what it sealed is being sealed anew; then it is destroyed.
	StateRetiring = "retiring"
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
	// AuditKeys seal the details of the audit log, current first. The log is
	// append-only: they stay as long as it does. Without any, data keys do it.
	AuditKeys []DataKeyEntry `json:"audit_keys,omitempty"`
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
	State         string         `json:"state,omitempty"`
	// MadeFor is the rotation that made it; empty for the first.
	MadeFor string `json:"made_for,omitempty"`
}

// DataKeyEntry is a data key, wrapped to both sides.
type DataKeyEntry struct {
	ID      seal.KeyID `json:"id"`
	ToRoot  []byte     `json:"to_root"`
	ToAPI   []byte     `json:"to_api"`
	State   string     `json:"state,omitempty"`
	MadeFor string     `json:"made_for,omitempty"`
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
	e := Entry{Organization: organization}
	pair, err := newPair(organization, root)
	if err != nil {
		return Entry{}, err
	}
	data, err := seal.NewDataKey()
	if err != nil {
		return Entry{}, err
	}
	defer clear(data.Reveal())
	key, err := wrapDataKey(data, organization, purposeData, root, api)
	if err != nil {
		return Entry{}, err
	}
	log, err := newDataKey(organization, purposeAudit, root, api)
	if err != nil {
		return Entry{}, err
	}
	e.Credentials, e.DataKeys, e.AuditKeys = []CredentialPair{pair}, []DataKeyEntry{key}, []DataKeyEntry{log}
	e.PublicSealed = seal.NewDataKeys(data).Seal(publicPlace(organization), e.publics())
	return e, nil
}

func newPair(organization string, root seal.PublicKey) (CredentialPair, error) {
	private, err := seal.NewPrivateKey()
	if err != nil {
		return CredentialPair{}, err
	}
	defer clear(private.Reveal())
	wrapped, err := seal.WrapKey(root, seal.Wrap{Organization: organization, Purpose: purposeCredential}, private.Reveal())
	return CredentialPair{Public: private.Public(), PrivateToRoot: wrapped}, err
}

func newDataKey(organization, purpose string, root, api seal.PublicKey) (DataKeyEntry, error) {
	key, err := seal.NewDataKey()
	if err != nil {
		return DataKeyEntry{}, err
	}
	defer clear(key.Reveal())
	return wrapDataKey(key, organization, purpose, root, api)
}

func wrapDataKey(key seal.DataKey, organization, purpose string, root, api seal.PublicKey) (DataKeyEntry, error) {
	out, w := DataKeyEntry{ID: key.ID()}, seal.Wrap{Organization: organization, Purpose: purpose}
	var err error
	if out.ToRoot, err = seal.WrapKey(root, w, key.Reveal()); err != nil {
		return DataKeyEntry{}, err
	}
	out.ToAPI, err = seal.WrapKey(api, w, key.Reveal())
	return out, err
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
	if e.Credentials[0].State != "" || e.DataKeys[0].State != "" {
		return schema.Errorf(schema.CodeInvalid, "the key store's entry of the cell has no current key")
	}
	return nil
}

// Retiring are the ids of the keys, of data and of credentials, that are to be
// destroyed once nothing is under them.
func (e Entry) Retiring() (data, credentials []seal.KeyID) {
	for _, d := range e.DataKeys {
		if d.State == StateRetiring {
			data = append(data, d.ID)
		}
	}
	for _, p := range e.Credentials {
		if p.State == StateRetiring {
			credentials = append(credentials, p.Public.ID())
		}
	}
	return data, credentials
}

// changing tells whether a rotation is under way.
func (e Entry) changing() bool {
	return slices.ContainsFunc(e.DataKeys, func(d DataKeyEntry) bool { return d.State != "" }) ||
		slices.ContainsFunc(e.Credentials, func(p CredentialPair) bool { return p.State != "" })
}

// MadeFor is the id of the key that a rotation made.
func (e Entry) MadeFor(rotation string) (seal.KeyID, bool) {
	for _, d := range e.DataKeys {
		if d.MadeFor == rotation {
			return d.ID, true
		}
	}
	for _, p := range e.Credentials {
		if p.MadeFor == rotation {
			return p.Public.ID(), true
		}
	}
	return seal.KeyID{}, false
}
