// Package webui serves Temporal's web UI behind a login.
//
// Temporal's UI server is a program with a listener of its own that hands
// every caller's token, or none, to the frontend. Here its handlers are
// composed without a listener, and nothing of them is reached before an
// operator has logged in with a token of schema/token: the browser holds a
// random session cookie, the token stays in this process and is put on what
// goes to the frontend and to the codec endpoint. Requests that name another
// host (DNS rebinding) or come from another origin (CSRF) are refused.
//
// It imports schema and schema/token only, and the UI server's module.
package webui
