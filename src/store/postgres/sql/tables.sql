-- Every time is in whole seconds since the Unix epoch and comes from the caller; every digest is a
-- SHA-256. Names are compared byte by byte ("C"), whatever the database's own collation is, and
-- whatever becomes of it in an upgrade of the operating system.
--
-- There are no foreign keys: a token whose grant is missing is judged dead where it is read, and an
-- import may bring records in any order.

create table tower_mcp_auth.clients (
    id                text collate "C" primary key,
    secret            bytea,
    secret_expires_at bigint,
    metadata          jsonb  not null,
    issued_at         bigint not null,
    expires_at        bigint not null,
    management        bytea
);
create index clients_expiry on tower_mcp_auth.clients (expires_at);

create table tower_mcp_auth.pending_authorizations (
    id         bytea primary key,
    request    jsonb  not null,
    browser    bytea,
    client     jsonb,
    created_at bigint not null,
    expires_at bigint not null
);
create index pending_authorizations_expiry on tower_mcp_auth.pending_authorizations (expires_at);

create table tower_mcp_auth.codes (
    digest         bytea primary key,
    grant_id       bytea  not null,
    redirect_uri   text   not null,
    code_challenge text   not null,
    nonce          text,
    auth_time      bigint,
    expires_at     bigint not null,
    redeemed_at    bigint,
    dpop_jkt       text
);
create index codes_expiry on tower_mcp_auth.codes (expires_at);

-- Each refresh moves `expires_at`. The sweep has an index on `sweep_at` instead, which stays behind
-- until a sweep comes by: so a refresh writes no index of this table.
create table tower_mcp_auth.grants (
    id                 bytea primary key,
    client_id          text collate "C" not null,
    subject            text collate "C" not null,
    holder             text   not null,
    scopes             text   not null,
    resource           text   not null,
    created_at         bigint not null,
    expires_at         bigint not null,
    revoked_at         bigint,
    refresh_generation bigint not null,
    auth_time          bigint,
    dpop_jkt           text,
    session            text,
    sweep_at           bigint not null
) with (fillfactor = 85);
create index grants_expiry on tower_mcp_auth.grants (sweep_at);
create index grants_of_client on tower_mcp_auth.grants (client_id, id);
-- A client that speaks for itself says nothing about the user of the same name.
create index grants_of_subject on tower_mcp_auth.grants (subject, id) where holder = 'user';

create table tower_mcp_auth.access_tokens (
    digest     bytea primary key,
    grant_id   bytea  not null,
    client_id  text   not null,
    subject    text   not null,
    holder     text   not null,
    scopes     text   not null,
    resource   text   not null,
    issued_at  bigint not null,
    expires_at bigint not null,
    revoked_at bigint,
    dpop_jkt   text
);
create index access_tokens_expiry on tower_mcp_auth.access_tokens (expires_at);

create table tower_mcp_auth.refresh_tokens (
    digest        bytea primary key,
    grant_id      bytea  not null,
    generation    bigint not null,
    expires_at    bigint not null,
    used_at       bigint,
    used_key      bigint,
    access_tokens bigint
) with (fillfactor = 85);
create index refresh_tokens_expiry on tower_mcp_auth.refresh_tokens (expires_at);

-- `resource` is as written; `resource_key` is the digest of its canonical form.
create table tower_mcp_auth.consents (
    subject      text collate "C" not null,
    client_id    text collate "C" not null,
    resource_key bytea  not null,
    resource     text   not null,
    scopes       text   not null,
    granted_at   bigint not null,
    primary key (subject, client_id, resource_key)
);
create index consents_of_client on tower_mcp_auth.consents (client_id);

create table tower_mcp_auth.devices (
    digest        bytea primary key,
    client_id     text   not null,
    scopes        text   not null,
    resource      text   not null,
    user_code     bytea  not null,
    created_at    bigint not null,
    expires_at    bigint not null,
    poll_interval bigint not null,
    last_poll     bigint,
    decision      text,
    grant_id      bytea,
    client        jsonb,
    dpop_jkt      text
) with (fillfactor = 85);
create index devices_expiry on tower_mcp_auth.devices (expires_at);
create index devices_of_user_code on tower_mcp_auth.devices (user_code);

-- What was good once and is used up.
create table tower_mcp_auth.used (
    digest     bytea primary key,
    expires_at bigint not null
);
create index used_expiry on tower_mcp_auth.used (expires_at);

-- Keys that all nodes share. Secret.
create table tower_mcp_auth.keys (
    purpose    text   not null,
    id         bigint not null,
    material   bytea  not null,
    created_at bigint not null,
    retires_at bigint,
    expires_at bigint,
    primary key (purpose, id)
);

-- How many rows there are of what is bounded: the sum of a kind's shards. See counters.sql.
create table tower_mcp_auth.counters (
    kind  text     not null,
    shard smallint not null,
    n     bigint   not null,
    primary key (kind, shard)
) with (fillfactor = 10);
insert into tower_mcp_auth.counters
    select kind, shard, 0
    from unnest(array['clients', 'pending_authorizations', 'devices', 'used']) kind,
         generate_series(0, 15) shard;
