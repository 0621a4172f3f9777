-- A database of schema 1, as the last release with it wrote it (sqlite3 .dump).
PRAGMA application_id = 1145333108;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE active (violation_id TEXT PRIMARY KEY, thing TEXT NOT NULL, profile TEXT NOT NULL, behavior TEXT NOT NULL,
    metric TEXT NOT NULL, criteria TEXT NOT NULL, kind TEXT NOT NULL, suppressed INTEGER NOT NULL,
    started_at REAL NOT NULL, last_time REAL NOT NULL, last_value BLOB NOT NULL,
    UNIQUE (thing, profile, behavior)) WITHOUT ROWID;
INSERT INTO "active" VALUES('id-rpi-1','rpi-1','cpu-usage','cpu','cpu_usage','{"comparisonOperator":"less-than-equals","value":{"number":75}}','number',0,1800000000.25,1800000000.25,X'CB4058E00000000000');
CREATE TABLE events (id INTEGER PRIMARY KEY, time REAL NOT NULL, thing TEXT NOT NULL, profile TEXT NOT NULL,
    behavior TEXT NOT NULL, metric TEXT NOT NULL, type TEXT NOT NULL, violation_id TEXT NOT NULL, value BLOB NOT NULL,
    criteria TEXT NOT NULL, kind TEXT NOT NULL, suppressed INTEGER NOT NULL);
INSERT INTO "events" VALUES(1,1800000000.25,'rpi-1','cpu-usage','cpu','cpu_usage','in-alarm','id-rpi-1',X'CB4058E00000000000','{"comparisonOperator":"less-than-equals","value":{"number":75}}','number',0);
INSERT INTO "events" VALUES(2,1800000001.25,'rpi-2','cpu-usage','cpu','cpu_usage','in-alarm','id-rpi-2',X'CB4058E00000000000','{"comparisonOperator":"less-than-equals","value":{"number":75}}','number',0);
INSERT INTO "events" VALUES(3,1800000301.25,'rpi-2','cpu-usage','cpu','cpu_usage','alarm-cleared','id-rpi-2',X'05','{"comparisonOperator":"less-than-equals","value":{"number":75}}','number',0);
CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO "metrics" VALUES(1,'aws:listening-tcp-ports');
INSERT INTO "metrics" VALUES(2,'cpu_usage');
CREATE TABLE reports (hour INTEGER, thing INTEGER, time REAL, metrics BLOB NOT NULL,
    PRIMARY KEY (hour, thing, time)) WITHOUT ROWID;
INSERT INTO "reports" VALUES(500000,1,1800000000.25,X'9402CB4058E0000000000001921650');
INSERT INTO "reports" VALUES(500000,2,1800000001.25,X'920250');
INSERT INTO "reports" VALUES(500000,2,1800000301.25,X'920205');
CREATE TABLE states (thing INTEGER PRIMARY KEY, report_id INTEGER, accepted_at REAL, state BLOB);
INSERT INTO "states" VALUES(1,7,1800000000.25,X'80');
INSERT INTO "states" VALUES(2,9,1800000301.25,X'80');
CREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
INSERT INTO "things" VALUES(1,'rpi-1');
INSERT INTO "things" VALUES(2,'rpi-2');
CREATE INDEX events_by_time ON events (time);
CREATE INDEX events_by_thing ON events (thing, time);
CREATE INDEX active_by_start ON active (started_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('things',2);
COMMIT;
