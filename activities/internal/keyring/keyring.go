package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
)

// Keyring holds one cell's keys.
type Keyring struct {
	organization string
	pairs        atomic.Pointer[pairs]
	data         seal.DataKeys
	tokens       seal.DataKeys
	// allowed is the use that each connection's credential was last found to be
	// entered for with everything allowed. A use is no secret; reading and looking
	// through one costs more than opening the rest.
	allowed sync.Map // connection → allowed
}

// allowed is a use as it was sealed, and as it was read: it is shared, and must not
// be changed.
type allowed struct {
	text []byte
	use  seal.Use
}

// pairs are the cell's credential pairs. They do not change: they are replaced
// whole.
type pairs struct {
	current seal.PublicKey
	private map[seal.KeyID]pair
}

func newPairs(private []seal.PrivateKey) *pairs {
	p := &pairs{private: make(map[seal.KeyID]pair, len(private))}
	for _, k := range private {
		p.private[k.Public().ID()] = newPair(k)
	}
	if len(private) > 0 {
		p.current = private[0].Public()
	}
	return p
}

// forget overwrites what was derived from the pairs.
func (p *pairs) forget() {
	for _, k := range p.private {
		k.boxes.forget()
	}
}

// Opened is a credential for the moment of a call.
type Opened struct {
	Use    seal.Use
	Values map[string]schema.Secret
}

// Wipe overwrites the values.
func (o *Opened) Wipe() {
	for _, v := range o.Values {
		v.Wipe()
	}
}

// New returns the keyring of an organization's cell. The private keys are those
// of its credential pairs, the current one first.
func New(organization string, private []seal.PrivateKey, data seal.DataKeys) *Keyring {
	k := &Keyring{organization: organization, data: data, tokens: tokenKeys(private)}
	k.pairs.Store(newPairs(private))
	return k
}

// Open opens one version of a connection's credential. Both layers are bound
// to their place: a credential that was moved, planted with the public key
// alone, replayed from an older version, or made for another organization does
// not open, and the error is CodeRefused. One that its owner sealed with values, or
// a use, that are not allowed is CodeInvalid.
func (k *Keyring) Open(outer []byte, connection string, version int) (*Opened, error) {
	inner, err := k.data.Open(place.Credential(k.organization, connection, version), outer)
	if err != nil {
		return nil, err
	}
	plain, err := k.unseal(inner, connection)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	text, ok := bytes.CutPrefix(plain, []byte(seal.CredentialMagic))
	if !ok {
		return nil, refuse(connection, "is of an unknown format")
	}
	return k.check(text, connection, version)
}

// unseal opens the inner layer. The caller overwrites what it gets.
func (k *Keyring) unseal(inner []byte, connection string) ([]byte, error) {
	id, sealed, err := seal.Split(seal.SuiteCredential, inner)
	if err != nil {
		return nil, err
	}
	private, ok := k.pairs.Load().private[id]
	if !ok {
		return nil, refuse(connection, "was sealed to a key that this cell does not have")
	}
	plain, ok := private.open(sealed)
	if !ok {
		return nil, refuse(connection, "was changed")
	}
	return plain, nil
}

// sealedCredential is what a box holds. Its values are decoded as bytes that can
// be overwritten; its use is no secret.
type sealedCredential struct {
	Organization string          `json:"organization"`
	Connection   string          `json:"connection"`
	Version      int             `json:"version"`
	Use          json.RawMessage `json:"use"`
	Values       seal.Values     `json:"values"`
}

// parse reads what a box holds, and refuses what else is in it. seen tells that
// the use is one that was found to be allowed.
func (k *Keyring) parse(text []byte) (c sealedCredential, use seal.Use, seen bool, err error) {
	if err := seal.Decode(text, &c, "organization", "connection", "version", "use", "values"); err != nil {
		return c, use, false, err
	}
	if a, ok := k.allowed.Load(c.Connection); ok {
		if a := a.(allowed); bytes.Equal(a.text, c.Use) { //nolint:forcetypeassert // Nothing else is stored.
			return c, a.use, true, nil
		}
	}
	// The use alone, which is no secret, is given to a Decoder.
	decoder := json.NewDecoder(bytes.NewReader(c.Use))
	decoder.DisallowUnknownFields()
	return c, use, false, decoder.Decode(&use)
}

func (k *Keyring) check(text []byte, connection string, version int) (*Opened, error) {
	// A client seals by itself, so what is inside was never checked before.
	c, use, seen, err := k.parse(text)
	defer c.Values.Forget()
	if err != nil {
		return nil, refuse(connection, "does not parse")
	}
	if c.Organization != k.organization || c.Connection != connection || c.Version != version {
		return nil, refuse(connection, "was entered for another place")
	}
	if err := k.admissible(c, use, seen); err != nil {
		why := "was entered for a use, or with values, that are not allowed"
		var known *schema.Error
		if errors.As(err, &known) {
			// What it says is for whoever enters one, and quotes no value.
			why += ": " + known.Message + " (" + known.Pointer + ")"
		}
		return nil, schema.Errorf(schema.CodeInvalid, "the credential of connection %s %s", connection, why).Advise("Enter the credential again.")
	}
	o := &Opened{Use: use, Values: make(map[string]schema.Secret, len(c.Values))}
	for name, value := range c.Values {
		o.Values[strings.Clone(name)] = schema.NewSecret([]byte(value))
	}
	return o, nil
}

// admissible tells whether the use and the values are ones that may be entered.
func (k *Keyring) admissible(c sealedCredential, use seal.Use, seen bool) error {
	if seen {
		_, err := seal.Check(use.Inject, c.Values)
		return err
	}
	err := seal.CheckCredential(seal.Credential{
		Organization: c.Organization, Connection: c.Connection, Version: c.Version, Use: use, Values: c.Values,
	})
	if err == nil {
		k.allowed.Store(c.Connection, allowed{text: c.Use, use: use})
	}
	return err
}

func refuse(connection, why string) *schema.Error {
	return schema.Errorf(schema.CodeRefused, "the credential of connection %s %s", connection, why).
		Advise("Enter the credential again.")
}
