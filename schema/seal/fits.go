package seal

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// Fits tells whether the injection has what a connector fixes for its scheme: a
// JSON object of members that must be there with these values, objects in it
// likewise. Empty fixes nothing. The error points below "/inject".
func (in Injection) Fits(fixed json.RawMessage) error {
	if len(fixed) == 0 {
		return nil
	}
	own, err := json.Marshal(in)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "the injection does not encode").At("/inject")
	}
	return fits("/inject", own, fixed)
}

func fits(at string, own, fixed json.RawMessage) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(fixed, &members) == nil && members != nil {
		var has map[string]json.RawMessage
		if json.Unmarshal(own, &has) != nil {
			return misfit(at, fixed)
		}
		for name, want := range members {
			if err := fits(at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), has[name], want); err != nil {
				return err
			}
		}
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(fixed, &list) == nil && list != nil {
		var has []json.RawMessage
		if json.Unmarshal(own, &has) != nil || len(has) != len(list) {
			return misfit(at, fixed)
		}
		for i, want := range list {
			if err := fits(at+"/"+strconv.Itoa(i), has[i], want); err != nil {
				return err
			}
		}
		return nil
	}
	var a, b bytes.Buffer
	if len(own) == 0 || json.Compact(&a, own) != nil || json.Compact(&b, fixed) != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		return misfit(at, fixed)
	}
	return nil
}

func misfit(at string, fixed json.RawMessage) error {
	return schema.Errorf(schema.CodeInvalid, "the connector fixes this").At(at).Advise("It is " + string(fixed) + ".")
}
