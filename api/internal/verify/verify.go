package verify

import (
	"crypto/x509"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// Tolerance is how far a message's timestamp may be from now, either way,
// where a source does not say otherwise.
const Tolerance = 5 * time.Minute

// Bounds of what a sender may put into a header, and of a source's secrets.
const (
	maxID         = 256
	maxSignatures = 16
	maxSecrets    = 8
)

// Request is what came in, as it came.
type Request struct {
	// Method is POST, or GET for a handshake.
	Method string
	Header http.Header
	// Query is the raw query, without its question mark.
	Query string
	Body  []byte
	// Peer are the certificates of the client, leaf first, whose key the TLS
	// handshake proved; none without TLS or without a certificate.
	Peer []*x509.Certificate
	// At is when it came.
	At time.Time
}

// Message is what is known of a message that proved its origin.
type Message struct {
	// ID tells a repeated message from a new one; empty when each delivery is
	// one of its own.
	ID string
	// Order is what its run waits for others by, in a form that tells nothing of
	// the key; empty for no order.
	Order string
	// Answer is set for a handshake, which is no event: it is answered.
	Answer *Answer
}

// Answer is what a vendor wants to hear before it sends anything.
type Answer struct {
	ContentType string
	Body        []byte
}

// proof is what a verifier found to be covered: the sender's own id when it is
// signed, and a digest of all that is signed, whichever secret signed it.
type proof struct {
	id     string
	digest [32]byte
}

// Verify checks a request against a source: whole raw body, constant time,
// fresh. The same message verifies again within the tolerance; the inbox
// recognises it by its ID. Every refusal is the same to the caller, so that
// trying tells nothing; the reason is the cause inside, for the log.
func Verify(source config.Source, r Request) (Message, error) {
	s, ok := schemes[source.Verifier]
	if !ok {
		return Message{}, refuse("the source has no verifier")
	}
	if s.asked != nil {
		if answer, asked, err := s.asked(source, r); asked || err != nil {
			return Message{Answer: answer}, err
		}
	}
	if r.Method != http.MethodPost {
		return Message{}, refuse("the verifier knows no handshake of this kind")
	}
	if check(s, source) != nil {
		return Message{}, refuse("the source's description of its verifier is not usable")
	}
	proven, err := s.prove(source, live(source.Secrets, r.At), r)
	if err != nil {
		return Message{}, err
	}
	if s.answer != nil {
		if answer := s.answer(r.Body); answer != nil {
			return Message{Answer: answer}, nil
		}
	}
	id, err := identify(s, source, proven, r)
	if err != nil {
		return Message{}, err
	}
	return Message{ID: id, Order: order(source, r)}, nil
}

// Nobody does the work of verifying a message of a source that does not
// exist, and refuses it: an unknown source answers no sooner than a known one.
func Nobody(r Request) error {
	// The key is not secret: what it verifies is refused all the same.
	_, err := standard("webhook-")(config.Source{}, []string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, r)
	if err == nil {
		err = refuse("no such source")
	}
	return err
}

// live returns the values of the secrets that are accepted at a time.
func live(secrets []config.SourceSecret, at time.Time) []string {
	values := make([]string, 0, min(len(secrets), maxSecrets))
	for _, s := range secrets {
		if s.RetiresAt != nil && !at.Before(*s.RetiresAt) {
			continue
		}
		if len(values) < maxSecrets {
			values = append(values, s.Value)
		}
	}
	return values
}

// reason is why a message was refused; it is logged and never answered.
type reason string

func (r reason) Error() string { return string(r) }

func refuse(why reason) error {
	e := schema.Errorf(schema.CodeUnauthenticated, "the message could not be verified").
		Advise("Check the signing secret, the clock, and that the body is sent exactly as it was signed.")
	e.Err = why
	return e
}

// single returns the value of a header that must stand exactly once: of two,
// a proxy and this service could each believe another.
func single(header http.Header, name string) (string, bool) {
	values := header.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// fresh parses a timestamp in its only spelling and checks the tolerance.
func fresh(timestamp, format string, tolerance int, now time.Time) bool {
	var at time.Time
	switch format {
	case "", formatUnix, formatMillis:
		n, err := strconv.ParseInt(timestamp, 10, 64)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != timestamp {
			return false
		}
		if at = time.Unix(n, 0); format == formatMillis {
			at = time.UnixMilli(n)
		}
		if n > now.UnixMilli()*2 {
			return false // Too far for the arithmetic below.
		}
	case formatRFC3339:
		var err error
		if at, err = time.Parse(time.RFC3339Nano, timestamp); err != nil {
			return false
		}
	default:
		return false
	}
	window := Tolerance
	if tolerance > 0 {
		window = time.Duration(tolerance) * time.Second
	}
	if format == "" || format == formatUnix {
		now = now.Truncate(time.Second) // Both ends of the window are in it.
	}
	return !at.Before(now.Add(-window)) && !at.After(now.Add(window))
}

// plain says whether a sender's id is short printable ASCII without the
// separators: with one, a part of a signed body could be passed off as the id.
func plain(id string, separators ...byte) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || slices.Contains(separators, id[i]) {
			return false
		}
	}
	return true
}
