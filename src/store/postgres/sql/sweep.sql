-- Removes up to `limit` expired rows, and says how many that were. Whoever comes while somebody
-- else sweeps leaves it to them.
--
-- Tables are gone through in the order in which all functions lock rows: see README.md.
create or replace function tower_mcp_auth.sweep(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    most constant bigint := a->>'limit';
    pendings bigint;
    devices bigint;
    uses bigint;
    consents bigint;
    clients bigint;
    removed bigint;
begin
    if not pg_try_advisory_xact_lock(tower_mcp_auth.name_key('sweep', '')) then
        return to_jsonb(0);
    end if;
    pendings := tower_mcp_auth.sweep_table('pending_authorizations', 'id', at, most);
    devices := tower_mcp_auth.sweep_table('devices', 'digest', at, most - pendings);
    uses := tower_mcp_auth.sweep_table('used', 'digest', at, most - pendings - devices);
    removed := pendings + devices + uses;
    removed := removed + tower_mcp_auth.sweep_table('codes', 'digest', at, most - removed);
    removed := removed + tower_mcp_auth.sweep_table('refresh_tokens', 'digest', at, most - removed);
    removed := removed + tower_mcp_auth.sweep_grants(at, most - removed);
    removed := removed + tower_mcp_auth.sweep_table('access_tokens', 'digest', at, most - removed);
    select s.consents, s.clients into consents, clients
    from tower_mcp_auth.sweep_clients(at, most - removed) s;
    removed := removed + consents + clients;
    removed := removed + tower_mcp_auth.sweep_keys(at, most - removed);

    perform tower_mcp_auth.count_more('pending_authorizations', -pendings);
    perform tower_mcp_auth.count_more('devices', -devices);
    perform tower_mcp_auth.count_more('used', -uses);
    perform tower_mcp_auth.count_more('clients', -clients);
    return to_jsonb(removed);
end $$;

create or replace function tower_mcp_auth.sweep_table(
    name text, key text, at bigint, most bigint
) returns bigint
language plpgsql as $$
declare
    removed bigint;
begin
    execute format(
        'delete from tower_mcp_auth.%1$I where expires_at <= $1 and %2$I = any(array(
            select %2$I from tower_mcp_auth.%1$I
            where expires_at <= $1 order by expires_at limit $2
        ))',
        name, key
    ) using at, most;
    get diagnostics removed = row_count;
    return removed;
end $$;

-- The index is behind for grants that were refreshed: those are dated anew and left alone.
create or replace function tower_mcp_auth.sweep_grants(at bigint, most bigint) returns bigint
language plpgsql as $$
declare
    due bytea[];
    removed bigint := 0;
    gone bigint;
begin
    while removed < most loop
        due := array(
            select id from tower_mcp_auth.grants
            where sweep_at <= at order by sweep_at limit most - removed
        );
        exit when cardinality(due) = 0;
        perform from tower_mcp_auth.grants where id = any(due) order by id for update;
        update tower_mcp_auth.grants set sweep_at = expires_at
        where id = any(due) and sweep_at < expires_at;
        delete from tower_mcp_auth.grants where id = any(due) and expires_at <= at;
        get diagnostics gone = row_count;
        removed := removed + gone;
    end loop;
    return removed;
end $$;

-- Nobody can ask for the consents to a client that is gone, so they go with it, and first.
create or replace function tower_mcp_auth.sweep_clients(
    at bigint, most bigint, out consents bigint, out clients bigint
)
language plpgsql as $$
declare
    due text[];
begin
    due := array(
        select id from tower_mcp_auth.clients
        where expires_at <= at order by expires_at limit most
    );
    -- Whoever was used meanwhile stays.
    due := array(
        select id from tower_mcp_auth.clients
        where id = any(due) and expires_at <= at order by id for update
    );
    with dependent as materialized (
        select c.subject, c.client_id, c.resource_key, c.destination_key from tower_mcp_auth.consents c
        where c.client_id = any(due)
        order by c.subject, c.client_id, c.resource_key, c.destination_key limit most for update
    )
    delete from tower_mcp_auth.consents c using dependent d
    where (c.subject, c.client_id, c.resource_key, c.destination_key) 
        = (d.subject, d.client_id, d.resource_key, d.destination_key);
    get diagnostics consents = row_count;
    clients := 0;
    -- Fewer than asked for were all of them.
    if consents < most then
        delete from tower_mcp_auth.clients
        where id = any(due[1:least(most - consents, cardinality(due))]);
        get diagnostics clients = row_count;
    end if;
end $$;

create or replace function tower_mcp_auth.sweep_keys(at bigint, most bigint) returns bigint
language plpgsql as $$
declare
    removed bigint;
begin
    delete from tower_mcp_auth.keys k where (k.purpose, k.id) in (
        select purpose, id from tower_mcp_auth.keys where expires_at <= at limit most
    );
    get diagnostics removed = row_count;
    return removed;
end $$;
