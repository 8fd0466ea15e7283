//! The promises, as properties of every state that can be reached.

use stateright::Property;

use super::{
    cast::Cast,
    codes::code_of,
    world::{Disk, Tokens, World, Wrong, grant_id},
};
use crate::{
    secret::Digest,
    store::{
        kv::{keys, table::Row},
        record::{AccessTokenRecord, RefreshTokenRecord},
    },
};

pub(super) fn all() -> Vec<Property<Cast>> {
    type Always = Property<Cast>;
    vec![
        Always::always("a code yields tokens at most once", |_, world| {
            never(world, &[Wrong::CodeTwice])
                && (0..world.heard.len()).all(|grant| {
                    let first = world.heard[grant].tokens.iter();
                    first.filter(|tokens| tokens.generation == 0).count() <= 1
                        && both(world, |disk| refresh_rows(disk, grant, 0).count() <= 1)
                })
        }),
        Always::always("a generation has at most one live successor", |_, world| {
            never(world, &[Wrong::SecondSuccessor])
                && (0..world.heard.len()).all(|grant| {
                    let known = world.refresh_tokens(grant);
                    let told_twice = known.windows(2).any(|pair| pair[0].0 == pair[1].0);
                    !told_twice && both(world, |disk| has_one_line(disk, grant))
                })
        }),
        Always::always("a benign race never revokes", |_, world| {
            never(world, &[Wrong::RaceRevoked])
        }),
        Always::always("a late repeat gives nothing", |_, world| {
            never(world, &[Wrong::LateRepeat])
        }),
        Always::always("nothing lives after its grant is revoked", |cast, world| {
            never(world, &[Wrong::RevokedServed, Wrong::ExpiredServed])
                && both(world, |disk| revoked_is_dead(cast, world, disk))
        }),
        Always::always("nothing acknowledged disappears", |cast, world| {
            both(world, |disk| is_all_there(cast, world, disk))
        }),
        Always::always("what is good is never refused", |_, world| {
            never(world, &[Wrong::Refused])
        }),
        Always::always(
            "a wrong client or proof gets and costs nothing",
            |_, world| never(world, &[Wrong::ImpostorServed]),
        ),
        Always::always("a revocation says what it reached", |_, world| {
            never(world, &[Wrong::Unreported])
        }),
    ]
}

fn never(world: &World, wrongs: &[Wrong]) -> bool {
    wrongs.iter().all(|wrong| !world.wrongs.contains(wrong))
}

/// Whether it is so for what is visible and for what a crash would leave.
fn both(world: &World, is_so: impl Fn(&Disk) -> bool) -> bool {
    is_so(&world.visible) && (world.visible == world.durable || is_so(&world.durable))
}

fn all_refresh_rows(disk: &Disk, grant: usize) -> impl Iterator<Item = &RefreshTokenRecord> {
    let (start, end) = ([keys::REFRESH_TOKEN], [keys::REFRESH_TOKEN + 1]);
    let rows = disk.rows.range(&start, Some(&end));
    let records = rows.filter_map(|(_, row)| match row {
        Row::RefreshToken(record) => Some(record),
        _ => None,
    });
    let id = grant_id(grant);
    let records: Vec<_> = records.filter(|record| record.grant == id).collect();
    records.into_iter()
}

fn refresh_rows(
    disk: &Disk,
    grant: usize,
    generation: u32,
) -> impl Iterator<Item = &RefreshTokenRecord> {
    all_refresh_rows(disk, grant).filter(move |record| record.generation == generation)
}

/// One token of each generation, and all used but the last.
fn has_one_line(disk: &Disk, grant: usize) -> bool {
    let mut generations: Vec<_> = all_refresh_rows(disk, grant)
        .map(|record| (record.generation, record.used.is_some()))
        .collect();
    generations.sort_unstable();
    let is_line = |pair: &[(u32, bool)]| pair[0].0 < pair[1].0 && pair[0].1;
    generations.windows(2).all(is_line)
}

fn access_rows(disk: &Disk) -> impl Iterator<Item = (&Vec<u8>, &AccessTokenRecord)> {
    let (start, end) = ([keys::ACCESS_TOKEN], [keys::ACCESS_TOKEN + 1]);
    let rows: Vec<_> = disk.rows.range(&start, Some(&end)).collect();
    rows.into_iter().filter_map(|(key, row)| match row {
        Row::AccessToken(record) => Some((key, record)),
        _ => None,
    })
}

fn revoked_is_dead(cast: &Cast, world: &World, disk: &Disk) -> bool {
    let now = world.slowest(&cast.bounds);
    let is_served = |key: &[u8]| {
        let digest = keys::digest(key);
        digest.is_some_and(|digest| disk.serves(digest.as_bytes(), now))
    };
    let tokens_are_dead = access_rows(disk).all(|(key, record)| {
        let of = (0..disk.truth.len()).find(|grant| grant_id(*grant) == record.grant);
        of.is_some_and(|grant| !disk.truth[grant].revoked) || !is_served(key)
    });
    let single_tokens_are_dead = disk
        .truth
        .iter()
        .flat_map(|truth| &truth.dead)
        .all(|access| !disk.serves(access, now));
    tokens_are_dead && single_tokens_are_dead
}

fn is_all_there(cast: &Cast, world: &World, disk: &Disk) -> bool {
    let now = world.swept_until(&cast.bounds);
    let consents = disk
        .rows
        .range(&[keys::CONSENT], Some(&[keys::CONSENT + 1]));
    let is_remembered = consents.count() > 0;
    let consented = disk.truth.iter().any(|truth| truth.consented);
    let grants = world.heard.iter().zip(&disk.truth).enumerate();
    is_remembered == consented
        && grants.into_iter().all(|(grant, (heard, truth))| {
            let code = match heard.code_until {
                Some(until) => {
                    let key = keys::code(&code_of(grant).digest());
                    truth.approved && (now >= until || disk.has(&key))
                }
                None => true,
            };
            let mut tokens = heard.tokens.iter();
            code && (truth.revoked || !heard.revoked)
                && truth.dead.is_superset(&heard.dead)
                && tokens.all(|tokens| are_there(disk, grant, tokens, now))
        })
}

/// Whether tokens that somebody was told of are there as told.
fn are_there(disk: &Disk, grant: usize, tokens: &Tokens, now: u64) -> bool {
    let truth = &disk.truth[grant];
    let refresh = keys::refresh_token(&Digest::of(&tokens.refresh));
    let used_row: Option<RefreshTokenRecord> = tokens
        .used
        .and_then(|used| disk.get(&keys::refresh_token(&Digest::from_bytes(used))));
    let access = Digest::from_bytes(tokens.access);
    let is_alive = !truth.revoked && !truth.dead.contains(&tokens.access);
    (now >= tokens.refresh_until || disk.has(&refresh))
        && (now >= tokens.access_until
            || disk.has(&keys::access_token(&access))
                && (!is_alive || disk.serves(&tokens.access, now)))
        && used_row.is_none_or(|row| row.used.is_some())
        && (tokens.generation == 0 || truth.first_use.len() >= tokens.generation as usize)
        && truth.redeemed
}
