-- Beginning and polling may be forgotten in a crash, so neither waits for the disk.

create or replace function tower_mcp_auth.begin_device(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    most constant bigint := a->>'max';
    r constant jsonb := a->'device';
begin
    perform set_config('synchronous_commit', 'off', true);
    -- Two that draw the same code come one after the other.
    perform pg_advisory_xact_lock(tower_mcp_auth.name_key('user code', r->>'user_code'));
    if tower_mcp_auth.counted('devices') >= most then
        return '"full"';
    end if;
    if exists (
        select from tower_mcp_auth.devices
        where user_code = (r->>'user_code')::bytea and expires_at > at
    ) then
        return '"user_code_taken"';
    end if;
    if tower_mcp_auth.put_device(r) and not tower_mcp_auth.claim('devices', most) then
        delete from tower_mcp_auth.devices where digest = (r->>'digest')::bytea;
        return '"full"';
    end if;
    return '"begun"';
end $$;

create or replace function tower_mcp_auth.device_by_user_code(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select to_jsonb(d) from tower_mcp_auth.devices d
        where d.user_code = (a->>'user_code')::bytea and d.expires_at > (a->>'now')::bigint
    );
end $$;

create or replace function tower_mcp_auth.decide_device(a jsonb) returns jsonb
language plpgsql as $$
declare
    asking tower_mcp_auth.devices;
    given jsonb := a->'grant';
begin
    if jsonb_typeof(given) = 'object' then
        perform tower_mcp_auth.share_names(given);
    end if;
    select * into asking from tower_mcp_auth.devices
    where user_code = (a->>'user_code')::bytea and expires_at > (a->>'now')::bigint
    for update;
    if not found or asking.decision is not null then
        return to_jsonb(false);
    end if;
    if jsonb_typeof(given) = 'object' then
        -- Nobody may sweep it before the device comes for its tokens.
        perform tower_mcp_auth.put_grant(given || jsonb_build_object(
            'expires_at', greatest((given->>'expires_at')::bigint, asking.expires_at)
        ));
        perform tower_mcp_auth.remember(a->'consent', (a->>'max_scopes')::bigint);
        update tower_mcp_auth.devices set
            decision = 'approved', grant_id = (given->>'id')::bytea
        where digest = asking.digest;
    else
        update tower_mcp_auth.devices set decision = 'denied' where digest = asking.digest;
    end if;
    return to_jsonb(true);
end $$;

create or replace function tower_mcp_auth.poll_device(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    asking tower_mcp_auth.devices;
    owner tower_mcp_auth.grants;
    is_too_soon boolean;
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into asking from tower_mcp_auth.devices
    where digest = (a->>'digest')::bytea and client_id = a->>'client_id' for update;
    if not found then
        return '"unknown"';
    end if;
    if at >= asking.expires_at then
        return '"expired"';
    end if;
    if asking.decision = 'denied' then
        return '"denied"';
    end if;
    if asking.decision = 'approved' then
        select * into owner from tower_mcp_auth.grants where id = asking.grant_id;
        if not found then
            return '"unknown"';
        end if;
        return jsonb_build_object('approved', jsonb_build_object(
            'record', to_jsonb(asking), 'grant', to_jsonb(owner)
        ));
    end if;
    is_too_soon := coalesce(at - asking.last_poll < asking.poll_interval, false);
    if is_too_soon then
        -- RFC 8628 section 3.5.
        asking.poll_interval := least(asking.poll_interval::numeric + 5, 9223372036854775807);
    end if;
    update tower_mcp_auth.devices set last_poll = at, poll_interval = asking.poll_interval
    where digest = asking.digest;
    if is_too_soon then
        return jsonb_build_object('slow_down', jsonb_build_object(
            'interval', asking.poll_interval
        ));
    end if;
    return '"pending"';
end $$;

create or replace function tower_mcp_auth.redeem_device(a jsonb) returns jsonb
language plpgsql as $$
declare
    asking tower_mcp_auth.devices;
    owner tower_mcp_auth.grants;
begin
    select * into asking from tower_mcp_auth.devices
    where digest = (a->>'digest')::bytea and expires_at > (a->>'now')::bigint
        and decision = 'approved'
    for update;
    if not found then
        return '"gone"';
    end if;
    select * into owner from tower_mcp_auth.grants where id = asking.grant_id for update;
    if not found then
        return '"gone"';
    end if;
    if owner.revoked_at is not null then
        return '"revoked"';
    end if;
    delete from tower_mcp_auth.devices where digest = asking.digest;
    perform tower_mcp_auth.endow(owner, a->'tokens');
    perform tower_mcp_auth.count_more('devices', -1);
    return '"redeemed"';
end $$;
