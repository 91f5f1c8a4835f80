-- Charters with the approvals by which they followed: signers without a network are told of them later, in their order.
CREATE TABLE charters (
  digest {BYTES} PRIMARY KEY CHECK (length(digest) = 32),
  version BIGINT NOT NULL,
  text TEXT NOT NULL,
  approvals TEXT NOT NULL,
  created BIGINT NOT NULL
);

-- What was carried to signers without a network for a transaction, and what they said. `answer` is empty while nothing came back;
-- `told` 0 means: connected signers do not remember its head yet.
CREATE TABLE carried (
  txid TEXT NOT NULL,
  signer TEXT NOT NULL,
  bundle {BYTES} NOT NULL CHECK (length(bundle) = 32),
  charter BIGINT NOT NULL,
  answer TEXT NOT NULL,
  refusal TEXT NOT NULL,
  told BIGINT NOT NULL,
  asked BIGINT NOT NULL,
  updated BIGINT NOT NULL,
  PRIMARY KEY (txid, signer)
);
CREATE INDEX carried_told ON carried (told, updated);
