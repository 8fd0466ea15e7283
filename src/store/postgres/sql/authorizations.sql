-- Beginning and ending alone may be forgotten in a crash: the user starts again. So neither waits
-- for the disk.

create or replace function tower_mcp_auth.begin_authorization(a jsonb) returns jsonb
language plpgsql as $$
declare
    most constant bigint := a->>'max';
begin
    perform set_config('synchronous_commit', 'off', true);
    if tower_mcp_auth.counted('pending_authorizations') >= most then
        return '"full"';
    end if;
    if tower_mcp_auth.put_pending(a->'pending')
        and not tower_mcp_auth.claim('pending_authorizations', most)
    then
        delete from tower_mcp_auth.pending_authorizations
        where id = (a->'pending'->>'id')::bytea;
        return '"full"';
    end if;
    return '"begun"';
end $$;

create or replace function tower_mcp_auth.pending_authorization(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select to_jsonb(p) from tower_mcp_auth.pending_authorizations p
        where p.id = (a->>'id')::bytea and p.expires_at > (a->>'now')::bigint
    );
end $$;

create or replace function tower_mcp_auth.end_authorization(a jsonb) returns jsonb
language plpgsql as $$
declare
    ended tower_mcp_auth.pending_authorizations;
begin
    perform set_config('synchronous_commit', 'off', true);
    delete from tower_mcp_auth.pending_authorizations
    where id = (a->>'id')::bytea returning * into ended;
    if not found then
        return null;
    end if;
    perform tower_mcp_auth.count_more('pending_authorizations', -1);
    if (a->>'now')::bigint >= ended.expires_at then
        return null;
    end if;
    return to_jsonb(ended);
end $$;
