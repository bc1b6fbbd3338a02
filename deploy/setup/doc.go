// Command setup prepares what the containers of docker-compose.yml work with,
// once, before they start; it may be repeated.
//
//	setup certificates    a private authority, a certificate for each listener,
//	                      and a password for each role of the database and for Redis
//	setup keys            runs "tenon init", and gives each process the keys that it holds;
//	                      a key that is there stays, whoever replaced it
//
// Each service has a directory of its own below --out, for the volume that no
// other service mounts; only the authority's certificate is shared. It imports
// schema/seal/keyfile.
package main
