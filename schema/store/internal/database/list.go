package database

import (
	"encoding/json"

	"github.com/lib/pq"
)

// OneOf is the condition that a column is one of the values of one parameter,
// which [List] makes: one prepared statement for however many there are.
func OneOf(postgres bool, column string) string {
	if postgres {
		return column + " = ANY(?)"
	}
	return column + " IN (SELECT value FROM json_each(?))"
}

// List is the parameter of [OneOf].
func List[T int64 | string](postgres bool, values []T) any {
	if postgres {
		return pq.Array(values)
	}
	if values == nil {
		values = []T{}
	}
	// Numbers and text always have a JSON form.
	text, _ := json.Marshal(values)
	return string(text)
}
