package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

const (
	// patternTime bounds one match of a schema's pattern: patterns of JSON
	// Schema have look-aheads, so they are matched by backtracking.
	patternTime = 100 * time.Millisecond
	// maxViolations bounds how many violations a fault tells.
	maxViolations = 5
	schemaURL     = "schema:flow"
)

// validator is a compiled schema, or why it does not compile.
type validator struct {
	schema *jsonschema.Schema
	fault  string
}

func (r *run) validate(schema json.RawMessage, value any) (fault *Fault, err error) {
	key := string(schema)
	v, ok := r.e.schemas.get(key)
	if !ok {
		doc, err := decode(schema)
		if err != nil {
			return nil, errors.New("a schema is not JSON")
		}
		v = compileSchema(doc)
		r.e.schemas.put(key, v)
	}
	if v.fault != "" {
		return &Fault{Type: FaultValidation, Detail: v.fault}, nil
	}
	defer func() {
		if p := recover(); p != nil {
			if _, slow := p.(slowPattern); !slow {
				panic(p)
			}
			fault = &Fault{Type: FaultRuntime, Detail: "a pattern of the schema takes too long to match"}
		}
	}()
	return violations(v.schema.Validate(value)), nil
}

func compileSchema(doc any) *validator {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(schemaURL, doc); err != nil {
		return &validator{fault: "not a valid JSON Schema"}
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return &validator{fault: "not a valid JSON Schema: " + err.Error()}
	}
	return &validator{schema: s}
}

// noLoader fetches nothing: a schema refers to its own parts only.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema may refer to its own parts only")
}

// pattern is a regular expression with a bound on its time.
type pattern struct{ *regexp2.Regexp }

// slowPattern ends a validation whose pattern ran out of time: the library
// offers no other way to stop.
type slowPattern struct{}

func compilePattern(s string) (jsonschema.Regexp, error) {
	re, err := regexp2.Compile(s, regexp2.ECMAScript|regexp2.Unicode)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = patternTime
	return pattern{re}, nil
}

// MatchString reports whether s contains a match.
func (p pattern) MatchString(s string) bool {
	ok, err := p.Regexp.MatchString(s)
	if err != nil {
		panic(slowPattern{})
	}
	return ok
}

// violation is one way in which a value does not meet its schema.
type violation struct{ pointer, text string }

// violations tells where a value does not meet its schema and quotes none of it.
func violations(err error) *Fault {
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return &Fault{Type: FaultValidation, Detail: "the value cannot be validated"}
	}
	var all []violation
	collect(invalid, &all)
	// The library walks maps in no order; a fault must be the same each time.
	slices.SortFunc(all, func(a, b violation) int {
		return strings.Compare(a.pointer+"\x00"+a.text, b.pointer+"\x00"+b.text)
	})
	all = slices.Compact(all)
	var b strings.Builder
	for i, v := range all[:min(len(all), maxViolations)] {
		if i > 0 {
			b.WriteString("; ")
		}
		if v.pointer != "" {
			b.WriteString(v.pointer + " ")
		}
		b.WriteString(v.text)
	}
	if more := len(all) - maxViolations; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return &Fault{Type: FaultValidation, Detail: b.String(), Pointer: all[0].pointer}
}

func collect(e *jsonschema.ValidationError, to *[]violation) {
	for _, c := range e.Causes {
		collect(c, to)
	}
	if len(e.Causes) == 0 {
		var at []byte
		for _, token := range e.InstanceLocation {
			at = appendToken(at, token)
		}
		*to = append(*to, violation{string(at), describe(e.ErrorKind)})
	}
}

// describe words a violation from the schema's side alone; names of fields are
// quoted, values are not (invariant 10).
func describe(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Required:
		return "misses " + names(k.Missing)
	case *kind.AdditionalProperties:
		return "has fields that are not allowed: " + names(k.Properties)
	case *kind.DependentRequired:
		return "misses " + names(k.Missing)
	case *kind.FalseSchema:
		return "is not allowed"
	case *kind.OneOf:
		return "must meet exactly one of the schemas under oneOf"
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.Enum:
		return "must be one of " + wanted(k.Want)
	case *kind.Const:
		return "must be " + wanted(k.Want)
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return "does not meet " + strings.Join(path, "/")
	}
	return "does not meet the schema"
}

func names(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func wanted(v any) string {
	text, err := encode(nil, v, maxDetail, 0)
	if err != nil {
		return "what the schema says"
	}
	return string(text)
}
