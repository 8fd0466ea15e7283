-- Counting what is bounded.
--
-- One row per kind would let only one transaction at a time add to it, until its commit is on disk.
-- So each kind has 16 shards, and each transaction takes any one of them.
--
-- Every function that calls these does so after all its rows are locked, and locks no row of the
-- same kind afterwards: so whoever waits here waits for somebody who can go on.

create or replace function tower_mcp_auth.counted(what text) returns bigint
language plpgsql stable as $$
begin
    return (select sum(n) from tower_mcp_auth.counters where kind = what);
end $$;

create or replace function tower_mcp_auth.count_more(what text, more bigint) returns void
language plpgsql as $$
declare
    some_shard constant smallint := floor(random() * 16);
begin
    if more <> 0 then
        update tower_mcp_auth.counters set n = n + more where kind = what and shard = some_shard;
    end if;
end $$;

-- Counts one more, unless there are `most` already. Exact: never one too many, and never full while
-- there is room.
create or replace function tower_mcp_auth.claim(what text, most bigint) returns boolean
language plpgsql as $$
begin
    -- Others that are under way add at most one to each shard. So far from the bound nobody needs
    -- to know of them.
    if tower_mcp_auth.counted(what) + 32 <= most then
        perform tower_mcp_auth.count_more(what, 1);
        if tower_mcp_auth.counted(what) + 16 <= most then
            return true;
        end if;
        -- While this one waited for its shard the bound came near.
        raise serialization_failure using message = 'the bound came near: count again';
    end if;
    perform from tower_mcp_auth.counters where kind = what order by shard for update;
    if tower_mcp_auth.counted(what) >= most then
        return false;
    end if;
    perform tower_mcp_auth.count_more(what, 1);
    return true;
end $$;
