package flow

import "regexp"

const errorTypes = "https://serverlessworkflow.io/spec/1.0.0/errors/"

// The standard error types, in their canonical form.
const (
	TypeConfiguration  = errorTypes + "configuration"
	TypeValidation     = errorTypes + "validation"
	TypeExpression     = errorTypes + "expression"
	TypeAuthentication = errorTypes + "authentication"
	TypeAuthorization  = errorTypes + "authorization"
	TypeTimeout        = errorTypes + "timeout"
	TypeCommunication  = errorTypes + "communication"
	TypeRuntime        = errorTypes + "runtime"
)

// standard maps the short name of each standard type to its default status.
var standard = map[string]int{
	"configuration": 400, "validation": 400, "expression": 400, "authentication": 401,
	"authorization": 403, "timeout": 408, "communication": 500, "runtime": 500,
}

// The text of the specification and its conformance kit disagree about the
// path, and the specification has moved to another host: all of them name the
// same types.
var errorURI = regexp.MustCompile(
	`^https?://(?:serverlessworkflow\.io|open-workflow-specification\.org)/(?:spec/[0-9]+\.[0-9]+\.[0-9]+/errors|dsl/errors/types)/([a-z]+)/?$`)

// ErrorType gives the canonical URI of a standard error type, named by its
// short name ("timeout") or by any of its URIs. Any other type is returned as
// it is.
func ErrorType(shortOrURI string) string {
	name := shortOrURI
	if m := errorURI.FindStringSubmatch(shortOrURI); m != nil {
		name = m[1]
	}
	if _, ok := standard[name]; ok {
		return errorTypes + name
	}
	return shortOrURI
}

// ErrorStatus gives the default status of an error type: 500 unless the type
// is a standard one with another.
func ErrorStatus(shortOrURI string) int {
	canonical := ErrorType(shortOrURI)
	if len(canonical) > len(errorTypes) {
		if status, ok := standard[canonical[len(errorTypes):]]; ok {
			return status
		}
	}
	return 500
}
