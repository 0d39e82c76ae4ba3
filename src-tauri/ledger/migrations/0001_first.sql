-- One row: the network's passphrase, and the secret key of the account that held everything at first.
CREATE TABLE network (passphrase TEXT NOT NULL, root BLOB NOT NULL);

-- The state after the newest ledger, as XDR of Stellar's ledger entries.
CREATE TABLE entries (key BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE ledgers (
    sequence INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    header BLOB NOT NULL,
    closed INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    tried_operations INTEGER NOT NULL
);

-- An id is ledger << 32 | index in ledger << 12, of an operation with its index in the transaction added.
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    inner_hash BLOB,
    closed INTEGER NOT NULL,
    successful INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    result BLOB NOT NULL
);
CREATE INDEX transactions_inner ON transactions (inner_hash) WHERE inner_hash IS NOT NULL;
CREATE TABLE operations (id INTEGER PRIMARY KEY, payment INTEGER NOT NULL, successful INTEGER NOT NULL);
CREATE TABLE transaction_accounts (
    account BLOB NOT NULL, id INTEGER NOT NULL, successful INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE TABLE operation_accounts (
    account BLOB NOT NULL, id INTEGER NOT NULL, payment INTEGER NOT NULL, successful INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
