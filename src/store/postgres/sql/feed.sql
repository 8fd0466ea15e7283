-- Telling other machines of what is revoked, at the commit. `kind` is g for grants, t for access
-- tokens; so many names fit into one notification, which may have 8000 bytes.
create or replace function tower_mcp_auth.tell(kind text, names bytea[]) returns void
language plpgsql as $$
begin
    perform pg_notify('tower_mcp_auth', kind || string_agg(
        ' ' || translate(rtrim(encode(name, 'base64'), '='), '+/', '-_'), ''
    ))
    from unnest(names) with ordinality as named (name, number)
    group by (number - 1) / 150;
end $$;

-- One process notifies itself: nothing that the disk needs to hear of.
create or replace function tower_mcp_auth.beat(channel text, number text) returns void
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    perform pg_notify(channel, number);
end $$;
