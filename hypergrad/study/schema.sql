-- The file of studies. Trees are JSON in the encoding of codec.py; vectors are little-endian float64.
-- Columns that a sampler needs come first, so that loading a history skips the long ones.

CREATE TABLE studies (
    id       INTEGER PRIMARY KEY,
    key      TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL,
    created  TEXT NOT NULL,                -- ISO 8601, UTC
    space    TEXT NOT NULL,                -- JSON, Space.to_json
    sampler  TEXT NOT NULL,                -- JSON, {"name": class, "fields": {...}}
    seed     INTEGER NOT NULL,
    info     TEXT NOT NULL,                -- JSON, whatever the maker of the study wants to remember
    revision INTEGER NOT NULL DEFAULT 0    -- grows with each change of the study's trials or queue
);

CREATE TABLE trials (
    study          INTEGER NOT NULL REFERENCES studies (id),
    number         INTEGER NOT NULL,       -- from 0, without gaps
    state          TEXT NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    unit           BLOB NOT NULL,          -- (d,) the point in the unit cube
    unit_gradient  BLOB,                   -- (d,) d value / d unit, nan where unknown
    value          TEXT,                   -- JSON number; null until the trial is complete
    cost           REAL NOT NULL,          -- step evaluations
    note           TEXT NOT NULL,          -- JSON, written by the sampler
    wants_gradient INTEGER NOT NULL,
    seed           INTEGER NOT NULL,       -- of the inner training
    started        TEXT NOT NULL,          -- ISO 8601, UTC
    seconds        REAL NOT NULL,
    error          TEXT,
    versions       TEXT NOT NULL,          -- JSON
    hparams        TEXT NOT NULL,          -- JSON, natural units
    gradient       TEXT,                   -- JSON, natural units
    metrics        TEXT NOT NULL,          -- JSON
    stats          TEXT NOT NULL,          -- JSON
    curve          BLOB NOT NULL,          -- inner loss, evenly chosen steps
    PRIMARY KEY (study, number)
);

CREATE TABLE queue (
    position INTEGER PRIMARY KEY,
    study    INTEGER NOT NULL REFERENCES studies (id),
    hparams  TEXT NOT NULL                 -- JSON, natural units
);
