CREATE TABLE home (
    key TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Farmer

CREATE TABLE contracts (
    contract BLOB PRIMARY KEY NOT NULL,
    owner BLOB NOT NULL,
    auditor BLOB,
    terms BLOB NOT NULL,
    revision BLOB,
    number INTEGER,
    shards INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    quota_bytes INTEGER NOT NULL DEFAULT 0,
    delete_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX contracts_by_owner ON contracts (owner);
CREATE INDEX contracts_by_auditor ON contracts (auditor, contract) WHERE auditor IS NOT NULL;

-- Which owners use which audit keys; the keys themselves are files.
CREATE TABLE audit_keys (
    owner BLOB NOT NULL,
    tag_key BLOB NOT NULL,
    PRIMARY KEY (owner, tag_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_keys_by_key ON audit_keys (tag_key);

-- state: 0 incoming, 1 arrived, 2 kept; kept and 3 its file is gone or of another length,
-- 4 its bytes are wrong, 5 it cannot be read just now. hash: of the bytes and, behind them, the tags.
-- tag_key: under which the tags were found right; while arrived, null means that nobody has looked yet.
CREATE TABLE shards (
    shard BLOB PRIMARY KEY NOT NULL,
    contract BLOB NOT NULL REFERENCES contracts (contract),
    bytes INTEGER NOT NULL,
    tag_bytes INTEGER NOT NULL,
    state INTEGER NOT NULL,
    hash BLOB,
    tag_key BLOB,
    noticed INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX shards_by_contract ON shards (contract, shard);
CREATE INDEX shards_arrived ON shards (bytes, tag_bytes) WHERE state = 1;
CREATE INDEX shards_in_trouble ON shards (noticed) WHERE state > 2;

-- One row: where the pass under way stands (begun is null between passes), when the last one ended and the next begins.
CREATE TABLE scrub (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    begun INTEGER,
    hurried INTEGER NOT NULL DEFAULT 0,
    after BLOB NOT NULL DEFAULT x'',
    shards INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    unreadable INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    next INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO scrub (id) VALUES (1);

CREATE TABLE reservations (
    contract BLOB NOT NULL REFERENCES contracts (contract),
    subnet TEXT NOT NULL,
    owner BLOB NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    expires INTEGER NOT NULL,
    PRIMARY KEY (contract, subnet, expires)
) STRICT, WITHOUT ROWID;

-- What incoming and arrived shards hold of the quota, each until an end of its own.
CREATE TABLE arrivals (
    shard BLOB PRIMARY KEY NOT NULL REFERENCES shards (shard) ON DELETE CASCADE,
    contract BLOB NOT NULL REFERENCES contracts (contract),
    subnet TEXT NOT NULL,
    owner BLOB NOT NULL,
    quota_bytes INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX arrivals_by_contract ON arrivals (contract);
CREATE INDEX arrivals_by_end ON arrivals (expires);

-- Owner

CREATE TABLE files (
    name_key BLOB PRIMARY KEY NOT NULL,
    file BLOB NOT NULL UNIQUE,
    content BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    renew INTEGER NOT NULL
) STRICT;

CREATE TABLE segments (
    number INTEGER PRIMARY KEY,
    segment BLOB NOT NULL UNIQUE,
    placement BLOB NOT NULL,
    sealed_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    job INTEGER,
    notes BLOB NOT NULL
) STRICT;
CREATE INDEX segments_by_job ON segments (job) WHERE job IS NOT NULL;

CREATE TABLE file_segments (
    file BLOB NOT NULL REFERENCES files (file) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    segment BLOB NOT NULL REFERENCES segments (segment),
    live_bytes INTEGER NOT NULL,
    PRIMARY KEY (file, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_segments_by_segment ON file_segments (segment, live_bytes);

CREATE TABLE owner_contracts (
    number INTEGER PRIMARY KEY,
    contract BLOB NOT NULL UNIQUE,
    farmer BLOB NOT NULL,
    terms BLOB NOT NULL,
    revision BLOB,
    revision_number INTEGER,
    -- 0: its farmer may hold shards that nothing here names
    settled INTEGER NOT NULL DEFAULT 1,
    -- when its farmer last said that it knows no such contract
    denied INTEGER,
    -- the newest revision that its auditor has been told of
    told INTEGER
) STRICT;
CREATE INDEX owner_contracts_by_farmer ON owner_contracts (farmer);

CREATE TABLE owner_shards (
    contract BLOB NOT NULL REFERENCES owner_contracts (contract) ON DELETE CASCADE,
    shard BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    tag_key BLOB,
    PRIMARY KEY (contract, shard)
) STRICT, WITHOUT ROWID;

-- Audits that this owner made by itself. receipt: of the newest of each contract alone.
CREATE TABLE own_audits (
    number INTEGER PRIMARY KEY,
    -- null: of all that the farmer keeps
    name TEXT,
    contract BLOB NOT NULL,
    farmer BLOB NOT NULL,
    verdict INTEGER NOT NULL,
    reason TEXT,
    proof_bytes INTEGER NOT NULL,
    at INTEGER NOT NULL,
    receipt TEXT
) STRICT;
CREATE INDEX own_audits_by_contract ON own_audits (contract) WHERE receipt IS NOT NULL;

CREATE TABLE placing (
    shard BLOB PRIMARY KEY NOT NULL,
    farmer BLOB NOT NULL,
    contract BLOB NOT NULL,
    segment BLOB NOT NULL,
    job INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE removals (
    shard BLOB PRIMARY KEY NOT NULL,
    farmer BLOB NOT NULL,
    contract BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Shards that their farmers do not have any more. shown: 1 by an audit or by their bytes, 0 only by the farmer's word.
CREATE TABLE lost_shards (
    shard BLOB PRIMARY KEY NOT NULL,
    farmer BLOB NOT NULL,
    contract BLOB NOT NULL,
    shown INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Farmers that are not simply there. absent: since when they do not answer; leaves: until when they stay, if they leave.
CREATE TABLE farmer_presence (
    farmer BLOB PRIMARY KEY NOT NULL,
    absent INTEGER,
    leaves INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    state INTEGER NOT NULL,
    spec TEXT NOT NULL,
    progress TEXT NOT NULL,
    report TEXT,
    begun INTEGER NOT NULL,
    ended INTEGER
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state);

-- Auditor

-- The contracts that this auditor follows. state: of the machine in core; due: when it is next to be moved on, null when
-- nothing is left to ask; until: after that it is forgotten.
CREATE TABLE audited (
    contract BLOB PRIMARY KEY NOT NULL,
    owner BLOB NOT NULL,
    farmer BLOB NOT NULL,
    terms BLOB NOT NULL,
    number INTEGER NOT NULL,
    shards INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    keys BLOB NOT NULL,
    state BLOB NOT NULL,
    due INTEGER,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audited_by_owner ON audited (owner);
CREATE INDEX audited_by_farmer ON audited (farmer);
CREATE INDEX audited_by_due ON audited (due) WHERE due IS NOT NULL;

-- Their newest revisions with all shards, and some older ones that receipts are about.
CREATE TABLE audited_revisions (
    contract BLOB NOT NULL REFERENCES audited (contract) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    revision BLOB NOT NULL,
    shards BLOB NOT NULL,
    PRIMARY KEY (contract, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdicts (
    contract BLOB NOT NULL REFERENCES audited (contract) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    judgement BLOB NOT NULL,
    receipt BLOB,
    keys BLOB,
    PRIMARY KEY (contract, epoch)
) STRICT, WITHOUT ROWID;

-- Data that this auditor stores with farmers itself, made from its seed. terms: as they are proposed; planted: once the farmer
-- has signed for all of it and it is followed; probe: when it is next read; until: after that it is forgotten.
CREATE TABLE plantings (
    planting BLOB PRIMARY KEY NOT NULL,
    farmer BLOB NOT NULL,
    contract BLOB NOT NULL UNIQUE,
    terms BLOB NOT NULL,
    planted INTEGER NOT NULL DEFAULT 0,
    probe INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX plantings_by_farmer ON plantings (farmer);

CREATE TABLE audited_farmers (
    farmer BLOB PRIMARY KEY NOT NULL,
    address TEXT,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Money

-- Every transaction that was handed in or may be: a row precedes it.
-- state: 0 open, 1 took effect, 2 failed in its ledger, 3 can no longer get into one
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    network BLOB NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    source BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    purpose BLOB NOT NULL,
    spends INTEGER NOT NULL,
    signed INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    ledger INTEGER,
    reason TEXT
) STRICT;
CREATE UNIQUE INDEX outbox_one_open ON outbox (source) WHERE state = 0;
CREATE INDEX outbox_by_time ON outbox (signed) WHERE state < 2;

-- What an escrow is, from before its setup is handed in.
CREATE TABLE escrows (
    account BLOB PRIMARY KEY NOT NULL,
    plan BLOB NOT NULL,
    -- 0 owner, 1 farmer, 2 auditor
    role INTEGER NOT NULL,
    -- 0 expected, 1 seen on the ledger, 2 over
    state INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Which contract an escrow pays for; terms: unsigned, kept before the contract is agreed on.
-- problem: why its last settlement did not come about.
CREATE TABLE funding (
    account BLOB PRIMARY KEY NOT NULL,
    contract BLOB NOT NULL,
    terms BLOB NOT NULL,
    problem TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX funding_by_contract ON funding (contract);

-- Every revision of contracts with a price: from when on how many bytes were kept, and until when at most.
CREATE TABLE spans (
    contract BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    until INTEGER NOT NULL,
    revision BLOB NOT NULL,
    PRIMARY KEY (contract, number)
) STRICT, WITHOUT ROWID;

-- What the auditor of a contract with a price has said of each epoch: it still counts when the auditor is gone.
CREATE TABLE heard (
    contract BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    judgement BLOB NOT NULL,
    PRIMARY KEY (contract, epoch)
) STRICT, WITHOUT ROWID;

-- The newest voucher of each device for what it was served in a settlement period, with the owner's word for that device.
CREATE TABLE vouchers (
    contract BLOB NOT NULL,
    period INTEGER NOT NULL,
    device BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    voucher BLOB NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (contract, period, device)
) STRICT, WITHOUT ROWID;

-- Others

CREATE TABLE peers (
    device BLOB PRIMARY KEY NOT NULL,
    addresses TEXT NOT NULL,
    farmer INTEGER NOT NULL,
    seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX peers_by_seen ON peers (seen);

CREATE TABLE marks (
    number INTEGER PRIMARY KEY,
    farmer BLOB NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX marks_by_farmer ON marks (farmer, number);
