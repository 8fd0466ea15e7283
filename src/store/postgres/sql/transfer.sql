-- Up to `limit` rows of a table in the order of its primary key, after the row that has the key
-- `after` (a list of its columns).
create or replace function tower_mcp_auth.export(a jsonb) returns jsonb
language plpgsql stable as $$
declare
    name constant text := a->>'table';
    after constant jsonb := a->'after';
    most constant bigint := a->>'limit';
    start text;
    page jsonb;
begin
    start := case name
        when 'clients' then 'id > $1->>0 order by id'
        when 'grants' then 'id > ($1->>0)::bytea order by id'
        when 'consents' then
            '(subject, client_id, resource_key, destination_key)
                > ($1->>0, $1->>1, ($1->>2)::bytea, ($1->>3)::bytea)
            order by subject, client_id, resource_key, destination_key'
        when 'keys' then '(purpose, id) > ($1->>0, ($1->>1)::bigint) order by purpose, id'
        else 'digest > ($1->>0)::bytea order by digest'
    end;
    if jsonb_typeof(after) <> 'array' then
        start := 'true ' || substring(start from 'order by.*');
    end if;
    execute format(
        'select jsonb_agg(to_jsonb(t)) from (
            select * from tower_mcp_auth.%I where %s limit $2
        ) t',
        name, start
    ) into page using after, most;
    return coalesce(page, '[]');
end $$;

-- Stores rows as they are, each with the name of its table.
create or replace function tower_mcp_auth.import(a jsonb) returns jsonb
language plpgsql as $$
declare
    item jsonb;
    r jsonb;
    clients bigint := 0;
    uses bigint := 0;
begin
    for item in select jsonb_array_elements(a->'records') loop
        r := item->'row';
        case item->>'table'
        when 'clients' then
            clients := clients + tower_mcp_auth.put_client(r)::int;
        when 'codes' then
            perform tower_mcp_auth.put_code(r);
        when 'grants' then
            perform tower_mcp_auth.put_grant(r);
        when 'access_tokens' then
            perform tower_mcp_auth.put_access_token(r);
        when 'refresh_tokens' then
            perform tower_mcp_auth.put_refresh_token(r);
            -- Grants written before they counted generations do not know of it.
            update tower_mcp_auth.grants set refresh_generation = (r->>'generation')::bigint
            where id = (r->>'grant_id')::bytea
                and refresh_generation < (r->>'generation')::bigint;
        when 'consents' then
            perform tower_mcp_auth.put_consent(r);
        when 'keys' then
            perform tower_mcp_auth.put_key(r);
        when 'used' then
            uses := uses + tower_mcp_auth.put_used(r)::int;
        end case;
    end loop;
    perform tower_mcp_auth.count_more('clients', clients);
    perform tower_mcp_auth.count_more('used', uses);
    return null;
end $$;
