-- Run once, by the PostgreSQL image, in an empty cluster, as its superuser.
-- No service of Tenon logs in as that.
--
--   tenon_host    makes the cells' databases and roles, and owns the control database
--   tenon_api     reads and writes the control database; for a cell it uses the role
--                 that the host made, whose password the cell's wrapped keys hold
--   tenon_engine  makes and owns the engine's two databases, and enters no other
\set ON_ERROR_STOP on
\set host_password `cat /private/host.password`
\set api_password `cat /private/api.password`
\set engine_password `cat /private/engine.password`
CREATE ROLE tenon_host LOGIN CREATEDB CREATEROLE PASSWORD :'host_password';
CREATE ROLE tenon_api LOGIN PASSWORD :'api_password';
CREATE ROLE tenon_engine LOGIN CREATEDB PASSWORD :'engine_password';
CREATE DATABASE tenon OWNER tenon_host TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE tenon FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE tenon TO tenon_api;
GRANT CONNECT ON DATABASE postgres TO tenon_engine, tenon_host;
\connect tenon
ALTER DEFAULT PRIVILEGES FOR ROLE tenon_host GRANT USAGE ON SCHEMAS TO tenon_api;
ALTER DEFAULT PRIVILEGES FOR ROLE tenon_host GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tenon_api;
ALTER DEFAULT PRIVILEGES FOR ROLE tenon_host GRANT USAGE ON SEQUENCES TO tenon_api;
