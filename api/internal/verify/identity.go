package verify

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema/config"
)

// identify says which message it is. Where the sender signs no id, what is
// signed is the identity: a captured message that is sent again under another
// id, which no signature covers, is still the same.
func identify(s scheme, source config.Source, p proof, r Request) (string, error) {
	topic := ""
	if len(source.Topics) > 0 {
		var ok bool
		// The topic is not signed: only known ones count, so that one message
		// cannot be passed off as any number of them.
		if topic, ok = single(r.Header, s.topic); !ok || !slices.Contains(source.Topics, topic) {
			return "", refuse("the topic is not one of the source's")
		}
		topic += " "
	}
	how := config.Identity{By: config.IdentityMessage}
	if source.Identity != nil {
		how = *source.Identity
	}
	switch how.By {
	case config.IdentityHeader:
		id, ok := single(r.Header, how.Header)
		if !ok || !plain(id) {
			return "", refuse("the header with the id is missing or not usable")
		}
		return topic + "header:" + id, nil
	case config.IdentityPointer:
		id, ok := Lookup(r.Body, how.Pointer)
		if !ok {
			return "", refuse("the body has no usable id")
		}
		return topic + "pointer:" + id, nil
	case config.IdentityEach:
		return "", nil
	}
	if p.id != "" {
		return topic + "id:" + p.id, nil
	}
	if s.own != "" {
		if id, ok := Lookup(r.Body, s.own); ok {
			return topic + "pointer:" + id, nil
		}
	}
	return topic + "digest:" + hex.EncodeToString(p.digest[:]), nil
}

// Lookup returns the string or number at a JSON Pointer (RFC 6901) of a JSON
// body, when it has one of at most 256 bytes.
func Lookup(body []byte, pointer string) (string, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var at any
	if !json.Valid(body) || decoder.Decode(&at) != nil {
		return "", false
	}
	if pointer != "" {
		for token := range strings.SplitSeq(pointer[1:], "/") {
			token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
			switch v := at.(type) {
			case map[string]any:
				at = v[token]
			case []any:
				i, err := strconv.Atoi(token)
				if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != token {
					return "", false
				}
				at = v[i]
			default:
				return "", false
			}
		}
	}
	found := ""
	switch v := at.(type) {
	case string:
		found = v
	case json.Number:
		found = v.String()
	}
	return found, found != "" && len(found) <= maxID
}

// checkPointer says whether text is a JSON Pointer to something inside.
func checkPointer(pointer string) bool {
	return len(pointer) > 1 && len(pointer) <= maxID && pointer[0] == '/'
}
