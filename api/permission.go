package api

import (
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

// Permission is what an operation asks of a key: "resource:verb".
type Permission string

// The permissions. A key may also hold "resource:*" and "*".
const (
	OrganizationRead  Permission = "organization:read"
	OrganizationWrite Permission = "organization:write"
	NamespacesRead    Permission = "namespaces:read"
	NamespacesWrite   Permission = "namespaces:write"
	KeysRead          Permission = "keys:read"
	KeysWrite         Permission = "keys:write"
	ConnectionsRead   Permission = "connections:read"
	ConnectionsWrite  Permission = "connections:write"
	CredentialsWrite  Permission = "credentials:write"
	SourcesRead       Permission = "sources:read"
	SourcesWrite      Permission = "sources:write"
	SchedulesRead     Permission = "schedules:read"
	SchedulesWrite    Permission = "schedules:write"
	FlowsRead         Permission = "flows:read"
	FlowsWrite        Permission = "flows:write"
	RunsRead          Permission = "runs:read"
	RunsWrite         Permission = "runs:write"
	EventsRead        Permission = "events:read"
	AlertsRead        Permission = "alerts:read"
	AlertsWrite       Permission = "alerts:write"
	AuditRead         Permission = "audit:read"
)

// Permissions lists every permission, in the order of the documentation.
func Permissions() []Permission {
	return []Permission{
		OrganizationRead, OrganizationWrite, NamespacesRead, NamespacesWrite, KeysRead, KeysWrite,
		ConnectionsRead, ConnectionsWrite, CredentialsWrite, SourcesRead, SourcesWrite,
		SchedulesRead, SchedulesWrite, FlowsRead, FlowsWrite, RunsRead, RunsWrite, EventsRead, AlertsRead, AlertsWrite,
		AuditRead,
	}
}

// grants says whether held covers wanted.
func grants(held []string, wanted Permission) bool {
	resource, _, _ := strings.Cut(string(wanted), ":")
	return slices.ContainsFunc(held, func(h string) bool {
		return h == "*" || h == string(wanted) || h == resource+":*"
	})
}

// covers says whether held covers all that a key with the permissions asked
// could do. An asker can give away only what it has.
func covers(held, asked []string) bool {
	for _, a := range asked {
		for _, p := range Permissions() {
			if grants([]string{a}, p) && !grants(held, p) {
				return false
			}
		}
		// "*" and "x:*" grow with what is added later: only their holder gives them.
		if strings.HasSuffix(a, "*") && !slices.Contains(held, a) && !slices.Contains(held, "*") {
			return false
		}
	}
	return true
}

// checkPermissions refuses a permission that does not exist.
func checkPermissions(asked []string) error {
	known := map[string]bool{"*": true}
	for _, p := range Permissions() {
		resource, _, _ := strings.Cut(string(p), ":")
		known[string(p)], known[resource+":*"] = true, true
	}
	for _, a := range asked {
		if !known[a] {
			return schema.Errorf(schema.CodeInvalid, "a permission is not known").At("/permissions").
				Advise("The documentation lists the permissions; resource:* and * stand for several.")
		}
	}
	return nil
}
