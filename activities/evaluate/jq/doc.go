// Package jq evaluates the expressions of flow documents (jq, by gojq) and
// validates values by JSON Schema. It runs in the evaluator process, apart
// from everything worth stealing or stalling, because an expression is hostile
// (invariant 9): gojq's steps can be counted, but one step of it can take any
// amount of memory, so that only the end of a process bounds it.
//
// Evaluation is a function of the batch alone: no clock, no environment, no
// files, no network, no random numbers, no host time zone; objects are walked
// and written with sorted keys; the same batch yields the same bytes.
//
// It imports libraries only, nothing of ours.
package jq
