package store

import "strings"

const sqliteScheme = "sqlite:"

func isSQLite(url string) bool { return strings.HasPrefix(url, sqliteScheme) }
