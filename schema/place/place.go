package place

import (
	"strconv"

	"github.com/tenonhq/tenon/schema/seal"
)

// Flow is where the canonical document of one flow version belongs.
func Flow(org, flow string, version int) seal.Place {
	return seal.Place{Organization: org, Table: "flow_versions", Row: flow + "/" + strconv.Itoa(version), Field: "document"}
}

// Connection is where a connection's settings (config.Connection) belong.
func Connection(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "connections", Row: id, Field: "settings"}
}

// Credential is where the outer layer of a credential's version belongs. The
// inner layer, sealed to the cell's public key, carries its own place.
func Credential(org, connection string, version int) seal.Place {
	return seal.Place{Organization: org, Table: "credentials", Row: connection, Field: strconv.Itoa(version)}
}

// Custody is where what the cell knows of a connection's credential
// (config.Custody) belongs.
func Custody(org, connection string) seal.Place {
	return seal.Place{Organization: org, Table: "custody", Row: connection, Field: "record"}
}

// Token is where the OAuth2 tokens of a credential's version belong. Their key is
// derived from the cell's private key: the data key, which the API has too, does
// not open them.
func Token(org, connection string, version int) seal.Place {
	return seal.Place{Organization: org, Table: "tokens", Row: connection, Field: strconv.Itoa(version)}
}

// Source is where a source's verifier and its secrets (config.Source) belong, and
// when a schedule fires (config.Schedule).
func Source(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "sources", Row: id, Field: "config"}
}

// AlertError is where the message of why an alert told nobody belongs.
func AlertError(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "alerts", Row: id, Field: "error"}
}

// AlertTarget is where a namespace's target of alerts (config.AlertTarget) belongs.
func AlertTarget(org, namespace string) seal.Place {
	return seal.Place{Organization: org, Table: "alert_targets", Row: namespace, Field: "config"}
}

// Event is where an event's payload (config.Event) belongs.
func Event(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "events", Row: id, Field: "payload"}
}

// Step is where one entry of a run's journal belongs.
func Step(org, run, key string) seal.Place {
	return seal.Place{Organization: org, Table: "steps", Row: run + "/" + key, Field: "record"}
}

// Run is where a run's result (config.Result) belongs.
func Run(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "runs", Row: id, Field: "result"}
}

// Effect is where an effect's outcome belongs.
func Effect(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "effects", Row: id, Field: "outcome"}
}

// Command is where a command's arguments (config.Command) belong.
func Command(org, id string) seal.Place {
	return seal.Place{Organization: org, Table: "commands", Row: id, Field: "args"}
}

// Audit is where the detail of an audit entry of one chain ("door", "work")
// belongs. An entry is given its id by the database's committer, after its
// detail was sealed, so the place cannot name the row; the entry's own hash
// binds the sealed detail to its row.
func Audit(org, side string) seal.Place {
	return seal.Place{Organization: org, Table: "audit", Row: side, Field: "detail"}
}
