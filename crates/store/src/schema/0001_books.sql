CREATE TABLE assets (id {KEY} PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE accounts (
  id {KEY} PRIMARY KEY,
  name TEXT NOT NULL,
  asset BIGINT NOT NULL REFERENCES assets (id),
  rules BIGINT NOT NULL CHECK (rules BETWEEN 0 AND 15),
  UNIQUE (name, asset)
);

-- Written lazily: each row says up to which record it counts. The journal is the truth.
CREATE TABLE balances (
  account {KEY} PRIMARY KEY,
  debits_pending {BYTES} NOT NULL CHECK (length(debits_pending) = 16),
  debits_posted {BYTES} NOT NULL CHECK (length(debits_posted) = 16),
  credits_pending {BYTES} NOT NULL CHECK (length(credits_pending) = 16),
  credits_posted {BYTES} NOT NULL CHECK (length(credits_posted) = 16),
  seq BIGINT NOT NULL
);

-- Immutable. `trail` holds, at fixed places: the hold that is ended (16), what was held (16), the record before this one of
-- the debited and of the credited account (8 each), and posted debits and credits of both afterwards (16 each).
CREATE TABLE journal (
  seq {KEY} PRIMARY KEY,
  id {BYTES} NOT NULL UNIQUE CHECK (length(id) = 16),
  debit BIGINT NOT NULL,
  credit BIGINT NOT NULL CHECK (credit <> debit),
  amount {BYTES} NOT NULL CHECK (length(amount) = 16),
  kind BIGINT NOT NULL CHECK (kind BETWEEN 0 AND 4),
  at BIGINT NOT NULL,
  cause TEXT NOT NULL,
  trail {BYTES} NOT NULL CHECK (length(trail) = 112)
);

-- Open holds, written lazily as balances are.
CREATE TABLE holds (
  id {BYTES} PRIMARY KEY,
  debit BIGINT NOT NULL,
  credit BIGINT NOT NULL,
  amount {BYTES} NOT NULL CHECK (length(amount) = 16),
  seq BIGINT NOT NULL
);

CREATE TABLE audit (
  seq {KEY} PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous {BYTES} NOT NULL CHECK (length(previous) = 32),
  hash {BYTES} NOT NULL CHECK (length(hash) = 32)
);

CREATE INDEX audit_subject ON audit (subject, action);

CREATE TABLE outbox (
  seq {KEY} PRIMARY KEY,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL
);

-- One row. Every commit names the epoch that it believes to hold, and the last record that it builds on. `seal` is the hash
-- over all records; `replay_seal` the one before `replay_from`, from which a restart takes the chain up.
CREATE TABLE fence (
  id {KEY} PRIMARY KEY CHECK (id = 1),
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  seal TEXT NOT NULL,
  replay_from BIGINT NOT NULL,
  replay_seal TEXT NOT NULL
);
INSERT INTO fence (id, epoch, seq, seal, replay_from, replay_seal) VALUES (1, 0, 0,
  '0000000000000000000000000000000000000000000000000000000000000000', 1,
  '0000000000000000000000000000000000000000000000000000000000000000');
