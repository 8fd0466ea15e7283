//! How rows are named in one ordered key space.
//!
//! The first byte is the kind: lower case for records that an export carries, upper case for
//! everything that is rebuilt or forgotten. Names of variable length are preceded by their own, so
//! that no two lists of names give the same key and every scan of a prefix stops where it should.

use crate::{
    client::destination::Destination,
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
    store::record::{ConsentRecord, KeyPurpose},
    uri::ResourceUri,
};

pub(crate) const ACCESS_TOKEN: u8 = b'a';
pub(crate) const CLIENT: u8 = b'c';
pub(crate) const CODE: u8 = b'd';
pub(crate) const GRANT: u8 = b'g';
pub(crate) const USED: u8 = b'j';
pub(crate) const KEY: u8 = b'k';
pub(crate) const REFRESH_TOKEN: u8 = b'r';
pub(crate) const CONSENT: u8 = b'u';
pub(crate) const DEVICE: u8 = b'D';
pub(crate) const PENDING: u8 = b'P';
const DEVICE_OF_USER_CODE: u8 = b'E';
const GRANT_OF_SUBJECT: u8 = b'G';
const GRANT_OF_CLIENT: u8 = b'H';
const CONSENT_OF_CLIENT: u8 = b'U';
const EXPIRY: u8 = b'X';

/// The first key that an export may carry, and the first one after all those.
pub(crate) const EXPORTED: (&[u8], &[u8]) = (b"a", b"{");

/// How many clients are stored.
pub(crate) const CLIENTS: &[u8] = b"Mclients";
/// How many authorizations are pending.
pub(crate) const PENDINGS: &[u8] = b"Mpending";
/// How many devices are waiting.
pub(crate) const DEVICES: &[u8] = b"Mdevices";
/// How many used things are remembered.
pub(crate) const USES: &[u8] = b"Mused";
/// The version of this layout.
#[cfg(feature = "sled")]
pub(crate) const SCHEMA: &[u8] = b"Mschema";
/// The number of the last change.
#[cfg(feature = "sled")]
pub(crate) const SEQUENCE: &[u8] = b"Msequence";

fn of_digest(kind: u8, digest: &Digest) -> Vec<u8> {
    let mut key = Vec::with_capacity(33);
    key.push(kind);
    key.extend_from_slice(digest.as_bytes());
    key
}

pub(crate) fn access_token(digest: &Digest) -> Vec<u8> {
    of_digest(ACCESS_TOKEN, digest)
}

pub(crate) fn code(digest: &Digest) -> Vec<u8> {
    of_digest(CODE, digest)
}

pub(crate) fn refresh_token(digest: &Digest) -> Vec<u8> {
    of_digest(REFRESH_TOKEN, digest)
}

pub(crate) fn pending(digest: &Digest) -> Vec<u8> {
    of_digest(PENDING, digest)
}

pub(crate) fn used(digest: &Digest) -> Vec<u8> {
    of_digest(USED, digest)
}

pub(crate) fn device(digest: &Digest) -> Vec<u8> {
    of_digest(DEVICE, digest)
}

/// Index: the devices that have a user code; all but one of them have expired.
pub(crate) fn devices_of_user_code(user_code: &Digest) -> Vec<u8> {
    of_digest(DEVICE_OF_USER_CODE, user_code)
}

/// The device that a row of that index points at.
pub(crate) fn device_of_index(key: &[u8]) -> &[u8] {
    key.get(33..).unwrap_or_default()
}

/// The digest in a key that has one.
pub(crate) fn digest(key: &[u8]) -> Option<Digest> {
    key.get(1..)?.try_into().ok().map(Digest::from_bytes)
}

pub(crate) fn client(id: &ClientId) -> Vec<u8> {
    let mut key = vec![CLIENT];
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

pub(crate) fn grant(id: &GrantId) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(GRANT);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The grant that a row of one of the two grant indexes points at.
pub(crate) fn grant_of_index(key: &[u8]) -> Option<GrantId> {
    key.last_chunk().copied().map(GrantId::from_bytes)
}

/// The keys of one purpose; one key with its number appended.
pub(crate) fn keys(purpose: KeyPurpose) -> Vec<u8> {
    let purpose = match purpose {
        KeyPurpose::RefreshSuccessor => 0,
        KeyPurpose::SessionBinding => 1,
        KeyPurpose::SignEdDsa => 2,
        KeyPurpose::SignRs256 => 3,
    };
    vec![KEY, purpose]
}

pub(crate) fn key(purpose: KeyPurpose, id: u32) -> Vec<u8> {
    let mut key = keys(purpose);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

pub(crate) fn consent(
    subject: &Subject,
    client: &ClientId,
    resource: &ResourceUri,
    destination: Option<&Destination>,
) -> Vec<u8> {
    let mut key = consents(subject, Some(client));
    key.extend_from_slice(resource.canonical().as_bytes());
    if let Some(destination) = destination {
        // In no resource.
        key.push(0);
        key.extend_from_slice(Digest::of(destination.as_str()).as_bytes());
    }
    key
}

pub(crate) fn key_of_consent(consent: &ConsentRecord) -> Vec<u8> {
    let ConsentRecord {
        subject,
        client_id,
        resource,
        destination,
        ..
    } = consent;
    self::consent(subject, client_id, resource, destination.as_ref())
}

/// The consents of one user, or of one user to one client.
pub(crate) fn consents(subject: &Subject, client: Option<&ClientId>) -> Vec<u8> {
    names(CONSENT, Some(subject), client)
}

/// Index: the consents to one client.
pub(crate) fn consents_of_client(client: &ClientId) -> Vec<u8> {
    names(CONSENT_OF_CLIENT, None, Some(client))
}

/// Index: the grants of one user, or of one user to one client.
pub(crate) fn grants_of_subject(subject: &Subject, client: Option<&ClientId>) -> Vec<u8> {
    names(GRANT_OF_SUBJECT, Some(subject), client)
}

/// Index: the grants to one client.
pub(crate) fn grants_of_client(client: &ClientId) -> Vec<u8> {
    names(GRANT_OF_CLIENT, None, Some(client))
}

/// Index: what is to be looked at, and when; a row's own key follows.
pub(crate) fn expiry(at: Timestamp) -> Vec<u8> {
    let mut key = vec![EXPIRY];
    key.extend_from_slice(&at.as_secs().to_be_bytes());
    key
}

/// The row that a row of the expiry index points at.
pub(crate) fn expired(key: &[u8]) -> &[u8] {
    key.get(9..).unwrap_or_default()
}

/// Where the expiry index starts, and where that which has expired at `now` ends.
pub(crate) fn expired_until(now: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let end = match now.as_secs().checked_add(1) {
        Some(next) => expiry(Timestamp::from_secs(next)),
        None => vec![EXPIRY + 1],
    };
    (vec![EXPIRY], end)
}

fn names(kind: u8, subject: Option<&Subject>, client: Option<&ClientId>) -> Vec<u8> {
    let mut key = vec![kind];
    let names = [subject.map(Subject::as_str), client.map(ClientId::as_str)];
    for name in names.into_iter().flatten() {
        // Names are shorter than 2^16 by their own rules.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key
}

/// The first key after all those that start with `prefix`; `None` when there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}
