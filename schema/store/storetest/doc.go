// Package storetest gives tests the real databases: a PostgreSQL cluster of
// their own, shared by the tests of one binary, and a fresh database on it or
// on SQLite for each test.
//
// The cluster runs the machine's PostgreSQL binaries, or ones that it fetches;
// it is never skipped. It ends with the test binary, however that ends.
//
// Files that are not tests may not import it. Of ours it imports the schema
// root and schema/store only.
package storetest
