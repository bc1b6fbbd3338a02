// Package pack compresses what is sealed afterwards: ciphertext cannot be compressed.
// JSON of a few hundred bytes, which most of it is, needs a dictionary for that.
//
// What is packed says how by its first byte. JSON text, which begins with none of
// these bytes, is taken as it is: so were values kept before they were packed.
//
// It imports the schema root only.
package pack
