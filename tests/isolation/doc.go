// Package isolation holds the tests that no organization, and no namespace of
// one, reaches another: two organizations with two namespaces each, and every
// identifier of one in every place of the other.
package isolation
