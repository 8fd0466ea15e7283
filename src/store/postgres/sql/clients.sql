create or replace function tower_mcp_auth.client(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select to_jsonb(c) from tower_mcp_auth.clients c
        where c.id = a->>'id' and c.expires_at > (a->>'now')::bigint
    );
end $$;

create or replace function tower_mcp_auth.create_client(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    most constant bigint := a->>'max';
    fresh constant tower_mcp_auth.clients :=
        jsonb_populate_record(null::tower_mcp_auth.clients, a->'client');
    old tower_mcp_auth.clients;
    is_renewed boolean;
begin
    loop
        select * into old from tower_mcp_auth.clients where id = fresh.id;
        if not found then
            if tower_mcp_auth.counted('clients') >= most then
                return '"full"';
            end if;
            insert into tower_mcp_auth.clients values (fresh.*) on conflict (id) do nothing;
            -- Otherwise somebody was faster: look again.
            if found then
                if tower_mcp_auth.claim('clients', most) then
                    return '"created"';
                end if;
                delete from tower_mcp_auth.clients where id = fresh.id;
                return '"full"';
            end if;
            continue;
        end if;

        -- A program that registers again is in use. Most repeats write nothing.
        is_renewed := (old.expires_at - at) * 2::numeric < greatest(fresh.expires_at - at, 0);
        if at < old.expires_at and not is_renewed then
            return jsonb_build_object('exists', to_jsonb(old));
        end if;
        perform from tower_mcp_auth.clients c
        where c.id = fresh.id and c.* = old for update;
        -- Otherwise it changed meanwhile: look again.
        if found then
            if at >= old.expires_at then
                perform tower_mcp_auth.put_client(a->'client');
                return '"created"';
            end if;
            update tower_mcp_auth.clients c set expires_at = fresh.expires_at
            where c.id = fresh.id returning c.* into old;
            return jsonb_build_object('exists', to_jsonb(old));
        end if;
    end loop;
end $$;

create or replace function tower_mcp_auth.update_client(a jsonb) returns jsonb
language plpgsql as $$
declare
    fresh constant tower_mcp_auth.clients :=
        jsonb_populate_record(null::tower_mcp_auth.clients, a->'client');
begin
    update tower_mcp_auth.clients set
        secret = fresh.secret, secret_expires_at = fresh.secret_expires_at,
        metadata = fresh.metadata, issued_at = fresh.issued_at,
        -- It may have been moved later since the caller read it.
        expires_at = greatest(expires_at, fresh.expires_at), management = fresh.management
    where id = fresh.id and expires_at > (a->>'now')::bigint;
    return to_jsonb(found);
end $$;

create or replace function tower_mcp_auth.renew_client(name text, until bigint) returns void
language plpgsql as $$
begin
    if until is not null then
        update tower_mcp_auth.clients set expires_at = until
        where id = name and expires_at < until;
    end if;
end $$;
