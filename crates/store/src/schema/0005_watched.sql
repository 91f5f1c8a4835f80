-- How far each signer's list of releases was compared with our transactions, with the newest that was; and the key of its canaries.
CREATE TABLE watched (
  signer TEXT PRIMARY KEY,
  releases BIGINT NOT NULL,
  newest TEXT NOT NULL,
  canary TEXT NOT NULL
);
