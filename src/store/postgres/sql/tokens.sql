-- Gives a locked grant its first tokens.
create or replace function tower_mcp_auth.endow(owner tower_mcp_auth.grants, t jsonb) returns void
language plpgsql as $$
begin
    update tower_mcp_auth.grants set
        expires_at = greatest(expires_at, (t->>'until')::bigint),
        refresh_generation =
            coalesce((t->'refresh'->>'generation')::bigint, refresh_generation),
        dpop_jkt = coalesce(t->>'dpop_jkt', dpop_jkt)
    where id = owner.id;
    perform tower_mcp_auth.put_access_token(t->'access');
    if jsonb_typeof(t->'refresh') = 'object' then
        perform tower_mcp_auth.put_refresh_token(t->'refresh');
    end if;
    perform tower_mcp_auth.renew_client(owner.client_id, (t->>'renew_client')::bigint);
end $$;

create or replace function tower_mcp_auth.issue_tokens(a jsonb) returns jsonb
language plpgsql as $$
declare
    outcome text;
begin
    if jsonb_typeof(a->'used') = 'object' then
        outcome := tower_mcp_auth.use_up(a->'used', (a->>'max')::bigint, (a->>'now')::bigint);
        if outcome <> 'first' then
            return case outcome when 'full' then '"full"' else '"used"' end;
        end if;
    end if;
    perform tower_mcp_auth.put_grant(a->'grant');
    perform tower_mcp_auth.put_access_token(a->'access');
    if jsonb_typeof(a->'refresh') = 'object' then
        perform tower_mcp_auth.put_refresh_token(a->'refresh');
    end if;
    perform tower_mcp_auth.renew_client(a->'grant'->>'client_id', (a->>'renew_client')::bigint);
    return '"issued"';
end $$;

create or replace function tower_mcp_auth.access_token(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    -- A grant outlives its tokens; one that is missing all the same vouches for nothing.
    return (
        select jsonb_build_object(
            'record', to_jsonb(t),
            'revoked', t.revoked_at is not null or g.id is null or g.revoked_at is not null
        )
        from tower_mcp_auth.access_tokens t
            left join tower_mcp_auth.grants g on g.id = t.grant_id
        where t.digest = (a->>'digest')::bytea
    );
end $$;

create or replace function tower_mcp_auth.refresh_token(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_array(to_jsonb(t), to_jsonb(g))
        from tower_mcp_auth.refresh_tokens t
            join tower_mcp_auth.grants g on g.id = t.grant_id
        where t.digest = (a->>'digest')::bytea
    );
end $$;

create or replace function tower_mcp_auth.rotate_refresh(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    presented tower_mcp_auth.refresh_tokens;
    owner tower_mcp_auth.grants;
    access jsonb := a->'access';
    is_stored boolean;
    until bigint;
begin
    select * into presented from tower_mcp_auth.refresh_tokens
    where digest = (a->>'presented')::bytea for update;
    if not found then
        return '"unknown"';
    end if;
    select * into owner from tower_mcp_auth.grants where id = presented.grant_id for update;
    if not found then
        return '"unknown"';
    end if;
    if owner.revoked_at is not null then
        return '"revoked"';
    end if;
    if at >= presented.expires_at then
        return '"expired"';
    end if;
    -- Such a one is never stored again, whatever its state: it may have been revoked.
    is_stored := exists (
        select from tower_mcp_auth.access_tokens where digest = (access->>'digest')::bytea
    );

    if presented.used_at is null then
        update tower_mcp_auth.refresh_tokens set
            used_at = at, used_key = (a->>'key')::bigint, access_tokens = 1
        where digest = presented.digest;
        update tower_mcp_auth.grants set
            refresh_generation = presented.generation + 1,
            expires_at = greatest(
                expires_at,
                (a->>'successor_expires_at')::bigint,
                (access->>'expires_at')::bigint
            )
        where id = owner.id;
        perform tower_mcp_auth.put_refresh_token(jsonb_build_object(
            'digest', a->'successor', 'grant_id', to_jsonb(owner.id),
            'generation', presented.generation + 1, 'expires_at', a->'successor_expires_at'
        ));
        if not is_stored then
            perform tower_mcp_auth.put_access_token(access);
        end if;
        perform tower_mcp_auth.renew_client(owner.client_id, (a->>'renew_client')::bigint);
        return '"rotated"';
    end if;

    if (a->>'grace')::bigint = 0
        or at - presented.used_at > (a->>'grace')::bigint
        or owner.refresh_generation <> presented.generation + 1
    then
        perform tower_mcp_auth.revoke_locked(owner, at);
        return jsonb_build_object('replayed', to_jsonb(owner.id));
    end if;
    if presented.used_key <> (a->>'key')::bigint then
        return jsonb_build_object('other_key', jsonb_build_object(
            'key', presented.used_key, 'first_used_at', presented.used_at
        ));
    end if;
    if not is_stored then
        if presented.access_tokens >= (a->>'max_access_tokens')::bigint then
            return '"too_many_access_tokens"';
        end if;
        update tower_mcp_auth.refresh_tokens set access_tokens = presented.access_tokens + 1
        where digest = presented.digest;
        -- It dies no later than one of the first use would have: otherwise one that was revoked,
        -- and swept once its time was over, could come back.
        until := least(
            (access->>'expires_at')::numeric,
            presented.used_at::numeric
                + greatest((access->>'expires_at')::bigint - (access->>'issued_at')::bigint, 0)
        );
        update tower_mcp_auth.grants set expires_at = greatest(expires_at, until)
        where id = owner.id;
        perform tower_mcp_auth.put_access_token(
            access || jsonb_build_object('expires_at', until)
        );
    end if;
    return jsonb_build_object('repeated', jsonb_build_object(
        'first_used_at', presented.used_at
    ));
end $$;
