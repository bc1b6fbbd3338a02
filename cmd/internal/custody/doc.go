// Package custody keeps the private halves of the root and the API pair: in a file
// of mode 0600, or wrapped by a key of Vault's or OpenBao's transit engine, of AWS
// KMS, of Google Cloud KMS or of Azure Key Vault. It also replaces the pairs.
//
// Only cmd imports it: cells and connectors do not link the providers.
package custody
