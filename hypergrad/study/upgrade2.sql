-- Format 2: noise, black-box constraints and earlier studies. Applied to new files and to those of format 1 alike.

ALTER TABLE studies ADD COLUMN constraints TEXT NOT NULL DEFAULT '{}';  -- JSON, name -> largest feasible value
ALTER TABLE studies ADD COLUMN origins     TEXT NOT NULL DEFAULT '[]';  -- JSON, the earlier studies, from 1

ALTER TABLE trials ADD COLUMN noise                TEXT;  -- JSON, standard error of the value; null: not told
ALTER TABLE trials ADD COLUMN unit_gradient_noise  BLOB;  -- (d,) standard errors of unit_gradient, nan where not told
ALTER TABLE trials ADD COLUMN margins              BLOB;  -- (m,) constraint minus its bound, nan where unknown
ALTER TABLE trials ADD COLUMN margin_gradients     BLOB;  -- (m, d) d margin / d unit, nan where unknown
ALTER TABLE trials ADD COLUMN gradient_noise       TEXT;  -- JSON, natural units
ALTER TABLE trials ADD COLUMN constraints          TEXT;  -- JSON, by name, natural units
ALTER TABLE trials ADD COLUMN constraint_gradients TEXT;  -- JSON, by name, natural units

CREATE TABLE earlier (                     -- trials of other studies, as they were when this one was made
    study               INTEGER NOT NULL REFERENCES studies (id),
    origin              INTEGER NOT NULL,  -- which earlier study, from 1
    number              INTEGER NOT NULL,  -- of the trial in it
    state               TEXT NOT NULL,
    unit                BLOB NOT NULL,     -- (d,) in the unit cube of this study
    unit_gradient       BLOB,
    value               TEXT,
    cost                REAL NOT NULL,
    note                TEXT NOT NULL,
    noise               TEXT,
    unit_gradient_noise BLOB,
    margins             BLOB,              -- by the constraints of this study
    margin_gradients    BLOB,
    PRIMARY KEY (study, origin, number)
);
