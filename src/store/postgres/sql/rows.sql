-- Storing a row whether or not there was one before. `r` has the table's columns as JSON. Those of
-- what is bounded say whether there is one more now.

create or replace function tower_mcp_auth.put_client(r jsonb) returns boolean
language plpgsql as $$
declare
    is_new boolean;
begin
    insert into tower_mcp_auth.clients
    select * from jsonb_populate_record(null::tower_mcp_auth.clients, r)
    on conflict (id) do update set
        secret = excluded.secret, secret_expires_at = excluded.secret_expires_at,
        metadata = excluded.metadata, issued_at = excluded.issued_at,
        expires_at = excluded.expires_at, management = excluded.management
    returning xmax = 0 into is_new;
    return is_new;
end $$;

create or replace function tower_mcp_auth.put_pending(r jsonb) returns boolean
language plpgsql as $$
declare
    is_new boolean;
begin
    insert into tower_mcp_auth.pending_authorizations
    select * from jsonb_populate_record(null::tower_mcp_auth.pending_authorizations, r)
    on conflict (id) do update set
        request = excluded.request, browser = excluded.browser, client = excluded.client,
        created_at = excluded.created_at, expires_at = excluded.expires_at
    returning xmax = 0 into is_new;
    return is_new;
end $$;

create or replace function tower_mcp_auth.put_code(r jsonb) returns void
language plpgsql as $$
begin
    insert into tower_mcp_auth.codes
    select * from jsonb_populate_record(null::tower_mcp_auth.codes, r)
    on conflict (digest) do update set
        grant_id = excluded.grant_id, redirect_uri = excluded.redirect_uri,
        code_challenge = excluded.code_challenge, nonce = excluded.nonce,
        auth_time = excluded.auth_time, expires_at = excluded.expires_at,
        redeemed_at = excluded.redeemed_at, dpop_jkt = excluded.dpop_jkt;
end $$;

create or replace function tower_mcp_auth.put_grant(r jsonb) returns void
language plpgsql as $$
declare
    fresh tower_mcp_auth.grants := jsonb_populate_record(null::tower_mcp_auth.grants, r);
begin
    fresh.sweep_at := fresh.expires_at;
    insert into tower_mcp_auth.grants values (fresh.*)
    on conflict (id) do update set
        client_id = excluded.client_id, subject = excluded.subject, holder = excluded.holder,
        scopes = excluded.scopes, resource = excluded.resource,
        created_at = excluded.created_at, expires_at = excluded.expires_at,
        revoked_at = excluded.revoked_at, refresh_generation = excluded.refresh_generation,
        auth_time = excluded.auth_time, dpop_jkt = excluded.dpop_jkt,
        session = excluded.session, sweep_at = excluded.sweep_at;
end $$;

create or replace function tower_mcp_auth.put_access_token(r jsonb) returns void
language plpgsql as $$
begin
    insert into tower_mcp_auth.access_tokens
    select * from jsonb_populate_record(null::tower_mcp_auth.access_tokens, r)
    on conflict (digest) do update set
        grant_id = excluded.grant_id, client_id = excluded.client_id,
        subject = excluded.subject, holder = excluded.holder, scopes = excluded.scopes,
        resource = excluded.resource, issued_at = excluded.issued_at,
        expires_at = excluded.expires_at, revoked_at = excluded.revoked_at,
        dpop_jkt = excluded.dpop_jkt;
end $$;

create or replace function tower_mcp_auth.put_refresh_token(r jsonb) returns void
language plpgsql as $$
begin
    insert into tower_mcp_auth.refresh_tokens
    select * from jsonb_populate_record(null::tower_mcp_auth.refresh_tokens, r)
    on conflict (digest) do update set
        grant_id = excluded.grant_id, generation = excluded.generation,
        expires_at = excluded.expires_at, used_at = excluded.used_at,
        used_key = excluded.used_key, access_tokens = excluded.access_tokens;
end $$;

create or replace function tower_mcp_auth.put_consent(r jsonb) returns void
language plpgsql as $$
begin
    insert into tower_mcp_auth.consents
    select * from jsonb_populate_record(null::tower_mcp_auth.consents, r)
    on conflict (subject, client_id, resource_key, destination_key) do update set
        resource = excluded.resource, scopes = excluded.scopes,
        granted_at = excluded.granted_at;
end $$;

create or replace function tower_mcp_auth.put_device(r jsonb) returns boolean
language plpgsql as $$
declare
    is_new boolean;
begin
    insert into tower_mcp_auth.devices
    select * from jsonb_populate_record(null::tower_mcp_auth.devices, r)
    on conflict (digest) do update set
        client_id = excluded.client_id, scopes = excluded.scopes,
        resource = excluded.resource, user_code = excluded.user_code,
        created_at = excluded.created_at, expires_at = excluded.expires_at,
        poll_interval = excluded.poll_interval, last_poll = excluded.last_poll,
        decision = excluded.decision, grant_id = excluded.grant_id,
        client = excluded.client, dpop_jkt = excluded.dpop_jkt
    returning xmax = 0 into is_new;
    return is_new;
end $$;

create or replace function tower_mcp_auth.put_used(r jsonb) returns boolean
language plpgsql as $$
declare
    is_new boolean;
begin
    insert into tower_mcp_auth.used
    select * from jsonb_populate_record(null::tower_mcp_auth.used, r)
    on conflict (digest) do update set expires_at = excluded.expires_at
    returning xmax = 0 into is_new;
    return is_new;
end $$;

create or replace function tower_mcp_auth.put_key(r jsonb) returns void
language plpgsql as $$
begin
    insert into tower_mcp_auth.keys
    select * from jsonb_populate_record(null::tower_mcp_auth.keys, r)
    on conflict (purpose, id) do update set
        material = excluded.material, created_at = excluded.created_at,
        retires_at = excluded.retires_at, expires_at = excluded.expires_at;
end $$;
