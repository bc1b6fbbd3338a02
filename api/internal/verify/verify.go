package verify

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

// Tolerance is how far a message's timestamp may be from now, either way.
const Tolerance = 5 * time.Minute

// Bounds of what a sender may put into a header.
const (
	maxID         = 256
	maxSignatures = 16
	maxSecrets    = 8
)

// Message is what is known of a message that proved its origin.
type Message struct {
	// ID tells a repeated message from a new one: it is covered by the
	// signature, or is the signature.
	ID string
}

// Verify checks a message against a source: whole raw body, constant time,
// fresh. The same message verifies again within the tolerance; the inbox
// recognises it by its ID. Every refusal is the same to the caller, so that
// trying tells nothing; the reason is the cause inside, for the log.
func Verify(source config.Source, header http.Header, body []byte, now time.Time) (Message, error) {
	switch source.Verifier {
	case config.VerifierStandardWebhooks:
		return standard(source.Secrets, header, body, now)
	case config.VerifierHMAC:
		if source.HMAC == nil {
			return Message{}, refuse("the source has no description of its signature")
		}
		return generic(*source.HMAC, source.Secrets, header, body, now)
	default:
		return Message{}, refuse("the source has no verifier")
	}
}

// Nobody does the work of verifying a message of a source that does not
// exist, and refuses it: an unknown source answers no sooner than a known one.
func Nobody(header http.Header, body []byte, now time.Time) error {
	// The key is not secret: what it verifies is refused all the same.
	_, err := standard([]string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, header, body, now)
	if err == nil {
		err = refuse("no such source")
	}
	return err
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

// fresh parses Unix seconds in their only spelling and checks the tolerance.
func fresh(timestamp string, now time.Time) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || seconds < 0 || strconv.FormatInt(seconds, 10) != timestamp {
		return false
	}
	at, tolerance := now.Unix(), int64(Tolerance/time.Second)
	return seconds >= at-tolerance && seconds <= at+tolerance
}

// plain says whether a sender's id is short printable ASCII without the
// separator: with it, a part of a signed body could be passed off as the id.
func plain(id string, separator byte) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == separator {
			return false
		}
	}
	return true
}
