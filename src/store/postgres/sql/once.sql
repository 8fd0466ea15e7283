-- Uses something up that is good once: 'first', 'again' or 'full'.
create or replace function tower_mcp_auth.use_up(r jsonb, most bigint, at bigint) returns text
language plpgsql as $$
declare
    fresh constant tower_mcp_auth.used := jsonb_populate_record(null::tower_mcp_auth.used, r);
begin
    loop
        if tower_mcp_auth.counted('used') < most then
            insert into tower_mcp_auth.used values (fresh.*) on conflict (digest) do nothing;
            if found then
                if tower_mcp_auth.claim('used', most) then
                    return 'first';
                end if;
                delete from tower_mcp_auth.used where digest = fresh.digest;
                return 'full';
            end if;
        end if;
        -- What expired gives its place to its own successor.
        update tower_mcp_auth.used set expires_at = fresh.expires_at
        where digest = fresh.digest and expires_at <= at;
        if found then
            return 'first';
        end if;
        if exists (select from tower_mcp_auth.used where digest = fresh.digest) then
            return 'again';
        end if;
        if tower_mcp_auth.counted('used') >= most then
            return 'full';
        end if;
        -- It was swept meanwhile: try again.
    end loop;
end $$;

create or replace function tower_mcp_auth.use_once(a jsonb) returns jsonb
language plpgsql as $$
begin
    return to_jsonb(tower_mcp_auth.use_up(
        a->'used', (a->>'max')::bigint, (a->>'now')::bigint
    ));
end $$;
