-- Whoever brings a grant and a consent holds its user's and its client's name for sharing, and
-- whoever withdraws all of a user's or a client's holds that name alone: so that no approval is
-- seen by half.

create or replace function tower_mcp_auth.name_key(kind text, name text) returns bigint
language sql immutable as $$ select hashtextextended('tower_mcp_auth ' || kind || ' ' || name, 0) $$;

create or replace function tower_mcp_auth.share_names(g jsonb) returns void
language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(tower_mcp_auth.name_key('subject', g->>'subject'));
    perform pg_advisory_xact_lock_shared(tower_mcp_auth.name_key('client', g->>'client_id'));
end $$;

-- Adds a consent to what is remembered already for the same destination. A set beyond the bound could
-- not be read back: then what was consented to last is what counts, and the user is asked again for
-- the rest.
create or replace function tower_mcp_auth.remember(r jsonb, max_scopes bigint) returns void
language plpgsql as $$
begin
    if r is null or jsonb_typeof(r) = 'null' then
        return;
    end if;
    insert into tower_mcp_auth.consents as c
    select * from jsonb_populate_record(null::tower_mcp_auth.consents, r)
    on conflict (subject, client_id, resource_key, destination_key) do update set
        resource = excluded.resource, granted_at = excluded.granted_at,
        scopes = (
            select case when count(*) <= max_scopes
                then coalesce(string_agg(token, ' ' order by token collate "C"), '')
                else excluded.scopes
            end
            from (
                select distinct token
                from unnest(string_to_array(c.scopes || ' ' || excluded.scopes, ' ')) token
                where token <> ''
            ) tokens
        );
end $$;

create or replace function tower_mcp_auth.consent(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select to_jsonb(c) from tower_mcp_auth.consents c
        where c.subject = a->>'subject' and c.client_id = a->>'client_id'
            and c.resource_key = (a->>'resource_key')::bytea
            and c.destination_key = (a->>'destination_key')::bytea
    );
end $$;

create or replace function tower_mcp_auth.consents(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(c)), '[]') from tower_mcp_auth.consents c
        where c.subject = a->>'subject'
    );
end $$;
