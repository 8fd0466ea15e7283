-- A consent is for one destination. Those of before are for none that anybody comes from.
-- `destination` is as written; `destination_key` is its digest, that of nothing where there is none.
alter table tower_mcp_auth.consents
    add column destination text,
    add column destination_key bytea not null default sha256(''),
    drop constraint consents_pkey,
    add primary key (subject, client_id, resource_key, destination_key);
