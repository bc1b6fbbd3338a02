package schema

import (
	"encoding/binary"
	"time"

	"go.jetify.com/typeid/v2"
)

// Prefix is the type of an identifier.
type Prefix string

// The prefixes of identifiers.
const (
	PrefixOrganization Prefix = "org"
	PrefixNamespace    Prefix = "ns"
	PrefixKey          Prefix = "key"
	PrefixConnection   Prefix = "con"
	PrefixCredential   Prefix = "cred"
	PrefixSource       Prefix = "src"
	PrefixSchedule     Prefix = "sched"
	PrefixFlow         Prefix = "flow"
	PrefixEvent        Prefix = "evt"
	PrefixRun          Prefix = "run"
	PrefixEffect       Prefix = "eff"
	PrefixCommand      Prefix = "cmd"
	PrefixAudit        Prefix = "aud"
	PrefixCarrier      Prefix = "car"
	PrefixRequest      Prefix = "req"
	PrefixHost         Prefix = "host"
	PrefixRotation     Prefix = "rot"
	PrefixSecret       Prefix = "secret"
	PrefixAlert        Prefix = "alert"
)

// NewID makes a new identifier, such as "org_01h455vb4pex5vsknk084sn02q": a
// TypeID (UUIDv7), so that identifiers of one type sort by time.
func NewID(p Prefix) string {
	return typeid.MustGenerate(string(p)).String()
}

// DerivedID is an identifier that follows from a time and from 16 bytes or more that
// look random, such as a hash: a TypeID (UUIDv7) like any other.
func DerivedID(p Prefix, at time.Time, from []byte) (string, error) {
	if len(from) < 16 {
		return "", Errorf(CodeInternal, "an identifier is derived from 16 bytes")
	}
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16)
	copy(id[6:], from)
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return UnpackID(p, id[:])
}

// CheckID returns a CodeInvalid error unless s is an identifier of the type. It
// never quotes s.
func CheckID(p Prefix, s string) error {
	id, err := typeid.Parse(s)
	if err != nil || id.Prefix() != string(p) {
		return Errorf(CodeInvalid, "not an identifier of type %s", p).
			Advise("Identifiers of this type look like " + string(p) + "_01h455vb4pex5vsknk084sn02q.")
	}
	return nil
}

// IDTime is when an identifier was made, to the millisecond: it says so itself.
// It is the zero time for what is no identifier.
func IDTime(s string) time.Time {
	id, err := typeid.Parse(s)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id.Bytes()) >> 16)).UTC()
}

// Retype is the identifier of another type that goes with one: a run's with its
// event's. Each follows from the other.
func Retype(p Prefix, s string) (string, error) {
	id, err := typeid.Parse(s)
	if err != nil {
		return "", Errorf(CodeInvalid, "not an identifier")
	}
	return UnpackID(p, id.Bytes())
}

// PackID is an identifier without its type, in 16 bytes; UnpackID undoes it.
func PackID(p Prefix, s string) ([]byte, error) {
	if err := CheckID(p, s); err != nil {
		return nil, err
	}
	id, err := typeid.Parse(s)
	if err != nil {
		return nil, Errorf(CodeInvalid, "not an identifier of type %s", p)
	}
	return id.Bytes(), nil
}

// UnpackID gives an identifier that PackID packed its type back.
func UnpackID(p Prefix, packed []byte) (string, error) {
	id, err := typeid.FromBytes(string(p), packed)
	if err != nil {
		return "", Errorf(CodeInvalid, "not a packed identifier: %w", err)
	}
	return id.String(), nil
}
