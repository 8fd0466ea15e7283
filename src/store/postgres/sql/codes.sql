create or replace function tower_mcp_auth.issue_code(a jsonb) returns jsonb
language plpgsql as $$
begin
    perform tower_mcp_auth.share_names(a->'grant');
    if a->>'pending' is not null then
        delete from tower_mcp_auth.pending_authorizations
        where id = (a->>'pending')::bytea and expires_at > (a->>'now')::bigint;
        if not found then
            return '"gone"';
        end if;
    end if;
    perform tower_mcp_auth.put_code(a->'code');
    perform tower_mcp_auth.put_grant(a->'grant');
    perform tower_mcp_auth.renew_client(a->'grant'->>'client_id', (a->>'renew_client')::bigint);
    perform tower_mcp_auth.remember(a->'consent', (a->>'max_scopes')::bigint);
    if a->>'pending' is not null then
        perform tower_mcp_auth.count_more('pending_authorizations', -1);
    end if;
    return '"issued"';
end $$;

create or replace function tower_mcp_auth.code(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_array(to_jsonb(c), to_jsonb(g))
        from tower_mcp_auth.codes c join tower_mcp_auth.grants g on g.id = c.grant_id
        where c.digest = (a->>'digest')::bytea
    );
end $$;

create or replace function tower_mcp_auth.redeem_code(a jsonb) returns jsonb
language plpgsql as $$
declare
    at constant bigint := a->>'now';
    presented tower_mcp_auth.codes;
    owner tower_mcp_auth.grants;
begin
    select * into presented from tower_mcp_auth.codes
    where digest = (a->>'code')::bytea for update;
    if not found then
        return '"unknown"';
    end if;
    select * into owner from tower_mcp_auth.grants where id = presented.grant_id for update;
    if not found then
        return '"unknown"';
    end if;
    -- Before the expiry: a second use is a replay for as long as the code is remembered.
    if presented.redeemed_at is not null then
        perform tower_mcp_auth.revoke_locked(owner, at);
        return jsonb_build_object('replayed', to_jsonb(owner.id));
    end if;
    if at >= presented.expires_at then
        return '"expired"';
    end if;
    if owner.revoked_at is not null then
        return '"revoked"';
    end if;
    update tower_mcp_auth.codes set redeemed_at = at where digest = presented.digest;
    perform tower_mcp_auth.endow(owner, a->'tokens');
    return '"redeemed"';
end $$;
