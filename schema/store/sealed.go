package store

import "github.com/tenonhq/tenon/schema/seal"

// sealedColumn is a column of ciphertexts under the cell's data keys, and how
// the place of each of its values is told (schema/place).
type sealedColumn struct {
	table, column string
	// key are the columns that identify a row, from is the rows with all that
	// the place takes.
	key  []string
	from string
	// placed is the table of the place; row and field are expressions.
	placed, row, field string
	// pair: sealed with a key that is derived from the credential pair, and sealed
	// anew with that pair ([Work.ResealToken]).
	pair bool
}

// The sealed columns of each side. The details of the audit log are not among
// them: it is append-only, and has keys of its own.
var (
	doorSealed = []sealedColumn{
		{table: "connections", column: "settings_sealed", key: []string{"id"}, row: "t.id", field: "'settings'"},
		{table: "credentials", column: "sealed", key: []string{"id"}, row: "t.connection", field: "CAST(t.version AS TEXT)"},
		{
			table: "flow_versions", column: "document_sealed", key: []string{"flow", "version"},
			row: "t.flow || '/' || CAST(t.version AS TEXT)", field: "'document'",
		},
		{table: "sources", column: "config_sealed", key: []string{"id"}, row: "t.id", field: "'config'"},
		{table: "alert_targets", column: "config_sealed", key: []string{"namespace"}, row: "t.namespace", field: "'config'"},
		{table: "events", column: "payload_sealed", key: []string{"seq"}, row: "t.id", field: "'payload'"},
		{table: "commands", column: "args_sealed", key: []string{"seq"}, row: "t.id", field: "'args'"},
	}
	workSealed = []sealedColumn{
		{table: "runs", column: "result_sealed", key: []string{"seq"}, row: "t.id", field: "'result'"},
		{
			table: "steps", column: "record_sealed", key: []string{"run", "key"}, from: "steps t JOIN runs r ON r.seq = t.run",
			row: "r.id || '/' || t.key", field: "'record'",
		},
		{table: "effects", column: "outcome_sealed", key: []string{"run", "key"}, row: "t.id", field: "'outcome'"},
		{table: "alerts", column: "error_sealed", key: []string{"id"}, row: "t.id", field: "'error'"},
		{table: "custody", column: "record_sealed", key: []string{"connection"}, row: "t.connection", field: "'record'"},
		{table: "tokens", column: "token_sealed", key: []string{"connection", "version"}, row: "t.connection", field: "CAST(t.version AS TEXT)", pair: true},
		{
			table: "resealed", column: "credential_sealed", key: []string{"connection", "version"}, placed: "credentials",
			row: "t.connection", field: "CAST(t.version AS TEXT)",
		},
	}
)

// auditSealed are the columns of details. What entries share counts as theirs.
var auditSealed = []sealedColumn{
	{table: seal.AuditTable, column: "detail_sealed"},
	{table: "acts", column: "detail_sealed", placed: seal.AuditTable},
}

func (c sealedColumn) source() string {
	if c.from != "" {
		return c.from
	}
	return c.table + " t"
}

func (c sealedColumn) place() string {
	if c.placed != "" {
		return c.placed
	}
	return c.table
}

// sealedOf are the sealed columns of a side.
func sealedOf(chain string) []sealedColumn {
	if chain == ChainWork {
		return workSealed
	}
	return doorSealed
}
