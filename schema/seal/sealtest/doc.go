// Package sealtest compares our sealed formats with libsodium itself, through a
// small C program that is compiled when the tests run. Only tests import it.
//
// It imports nothing of ours.
package sealtest
