package activities

import (
	"encoding/json"
	"strconv"
	"strings"
)

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// lookup resolves a JSON Pointer (RFC 6901) in a document.
func lookup(doc json.RawMessage, pointer string) (json.RawMessage, bool) {
	if pointer == "" {
		return doc, true
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = unescapePointer.Replace(token)
		var object map[string]json.RawMessage
		if json.Unmarshal(doc, &object) == nil {
			next, ok := object[token]
			if !ok {
				return nil, false
			}
			doc = next
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(doc, &list) != nil {
			return nil, false
		}
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(list) {
			return nil, false
		}
		doc = list[i]
	}
	return doc, true
}
