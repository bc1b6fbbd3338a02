// Package group lets concurrent units of work share one transaction: the
// units that arrive while a commit is on its way make the next one, so that
// under load the disk is synced once for many and a lone unit waits for nobody.
//
// It knows no database and imports the schema root only.
package group
