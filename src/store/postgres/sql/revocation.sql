-- Revokes a grant that is locked.
create or replace function tower_mcp_auth.revoke_locked(owner tower_mcp_auth.grants, at bigint)
returns void
language plpgsql as $$
begin
    if owner.revoked_at is null then
        update tower_mcp_auth.grants set revoked_at = at where id = owner.id;
        perform tower_mcp_auth.tell('g', array[owner.id]);
    end if;
end $$;

create or replace function tower_mcp_auth.revoke_access_token(a jsonb) returns jsonb
language plpgsql as $$
declare
    token constant bytea := a->>'digest';
begin
    update tower_mcp_auth.access_tokens set revoked_at = (a->>'now')::bigint
    where digest = token and revoked_at is null;
    if found then
        perform tower_mcp_auth.tell('t', array[token]);
        return to_jsonb(true);
    end if;
    return to_jsonb(exists (select from tower_mcp_auth.access_tokens where digest = token));
end $$;

-- One grant, by its own name or by a refresh token of it. Returns its name.
create or replace function tower_mcp_auth.revoke_grant(a jsonb) returns jsonb
language plpgsql as $$
declare
    named bytea := a->>'grant_id';
    owner tower_mcp_auth.grants;
begin
    if named is null then
        select grant_id into named from tower_mcp_auth.refresh_tokens
        where digest = (a->>'refresh_token')::bytea;
    end if;
    select * into owner from tower_mcp_auth.grants where id = named for update;
    if not found then
        return null;
    end if;
    perform tower_mcp_auth.revoke_locked(owner, (a->>'now')::bigint);
    return to_jsonb(owner.id);
end $$;

-- Up to `limit` grants of a user, of a user to a client, of a user's session, or of a client, in
-- the order of their names from `after` on. With the first of them go the consents, and the client
-- if it is to be forgotten: what is issued by them between two steps would be passed over.
create or replace function tower_mcp_auth.revoke_grants(a jsonb) returns jsonb
language plpgsql as $$
declare
    user_ constant text := a->>'subject';
    client constant text := a->>'client_id';
    in_session constant text := a->>'session';
    most constant bigint := a->>'limit';
    after constant bytea := coalesce((a->>'after')::bytea, '');
    reached bytea[];
    revoked bytea[];
    is_first constant boolean := a->>'after' is null;
    is_last boolean;
    is_forgotten boolean := false;
begin
    if (a->>'consents')::boolean then
        perform pg_advisory_xact_lock(case when user_ is not null
            then tower_mcp_auth.name_key('subject', user_)
            else tower_mcp_auth.name_key('client', client)
        end);
    end if;
    if user_ is not null then
        reached := array(
            select g.id from tower_mcp_auth.grants g
            where g.subject = user_ and g.holder = 'user' and g.id > after
                and (client is null or g.client_id = client)
                and (in_session is null or g.session = in_session)
            order by g.id limit most for update
        );
    else
        reached := array(
            select g.id from tower_mcp_auth.grants g
            where g.client_id = client and g.id > after
            order by g.id limit most for update
        );
    end if;
    with news as (
        update tower_mcp_auth.grants set revoked_at = (a->>'now')::bigint
        where id = any(reached) and revoked_at is null
        returning id
    )
    select array_agg(id) into revoked from news;
    perform tower_mcp_auth.tell('g', revoked);

    is_last := cardinality(reached) < most;
    if is_first and (a->>'forget')::boolean then
        delete from tower_mcp_auth.clients where id = client;
        is_forgotten := found;
    end if;
    if is_first and (a->>'consents')::boolean then
        perform tower_mcp_auth.forget_consents(user_, client);
    end if;
    if is_forgotten then
        perform tower_mcp_auth.count_more('clients', -1);
    end if;
    return jsonb_build_object('grants', to_jsonb(reached), 'is_last', is_last);
end $$;

create or replace function tower_mcp_auth.forget_consents(user_ text, client text) returns void
language plpgsql as $$
begin
    -- In one order, so that no two wait for each other.
    if user_ is not null then
        perform from tower_mcp_auth.consents c
        where c.subject = user_ and (client is null or c.client_id = client)
        order by c.subject, c.client_id, c.resource_key, c.destination_key for update;
        delete from tower_mcp_auth.consents c
        where c.subject = user_ and (client is null or c.client_id = client);
    else
        perform from tower_mcp_auth.consents c where c.client_id = client
        order by c.subject, c.client_id, c.resource_key, c.destination_key for update;
        delete from tower_mcp_auth.consents c where c.client_id = client;
    end if;
end $$;

create or replace function tower_mcp_auth.grants(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(live) order by live.id), '[]')
        from (
            select * from tower_mcp_auth.grants g
            where g.subject = a->>'subject' and g.holder = 'user'
                and g.id > coalesce((a->>'after')::bytea, '')
                and g.revoked_at is null and g.expires_at > (a->>'now')::bigint
            order by g.id
            limit (a->>'limit')::integer
        ) live
    );
end $$;

-- Which of these are good no longer: revoked, of a revoked grant, or not there.
create or replace function tower_mcp_auth.revoked_among(a jsonb) returns jsonb
language plpgsql stable as $$
begin
    return jsonb_build_object(
        'grants', (
            select coalesce(jsonb_agg(name), '[]')
            from jsonb_array_elements_text(a->'grants') name
                left join tower_mcp_auth.grants g on g.id = name::bytea
            where g.id is null or g.revoked_at is not null
        ),
        'access_tokens', (
            select coalesce(jsonb_agg(name), '[]')
            from jsonb_array_elements_text(a->'access_tokens') name
                left join tower_mcp_auth.access_tokens t on t.digest = name::bytea
                left join tower_mcp_auth.grants g on g.id = t.grant_id
            where t.digest is null or t.revoked_at is not null
                or g.id is null or g.revoked_at is not null
        )
    );
end $$;
