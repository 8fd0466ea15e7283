create or replace function tower_mcp_auth.keys(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(k) order by k.id), '[]') from tower_mcp_auth.keys k
        where k.purpose = a->>'purpose'
    );
end $$;

create or replace function tower_mcp_auth.add_key(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    fresh constant tower_mcp_auth.keys :=
        jsonb_populate_record(null::tower_mcp_auth.keys, a->'key');
    number bigint;
begin
    -- Two that make the next one come one after the other.
    perform pg_advisory_xact_lock(tower_mcp_auth.name_key('keys', fresh.purpose));
    select coalesce(max(id) + 1, 0) into number from tower_mcp_auth.keys
    where purpose = fresh.purpose;
    if fresh.id = number then
        update tower_mcp_auth.keys set
            retires_at = at,
            expires_at = least(at::numeric + (a->>'overlap')::bigint, 9223372036854775807)
        where purpose = fresh.purpose and retires_at is null;
        insert into tower_mcp_auth.keys values (fresh.*);
    end if;
    return (
        select coalesce(jsonb_agg(to_jsonb(k) order by k.id), '[]') from tower_mcp_auth.keys k
        where k.purpose = fresh.purpose and (k.expires_at is null or k.expires_at > at)
    );
end $$;
