//! How keys are named.

use crate::{
    client::destination::Destination,
    id::{ClientId, Subject},
    secret::{Digest, base64url},
    store::record::{ConsentRecord, KeyPurpose, KeyRecord},
    uri::ResourceUri,
};

/// A kind of record, and the index that names all of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Client,
    Code,
    Consent,
    Device,
    Grant,
    Key,
    Pending,
    Refresh,
    Used,
}

impl Kind {
    /// Those that an export carries, in its order: grants before the refresh tokens that an import
    /// compares with them.
    pub(super) const EXPORTED: [Self; 8] = [
        Self::Client,
        Self::Grant,
        Self::Code,
        Self::Access,
        Self::Refresh,
        Self::Consent,
        Self::Key,
        Self::Used,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Client => "client",
            Self::Code => "code",
            Self::Consent => "consent",
            Self::Device => "device",
            Self::Grant => "grant",
            Self::Key => "key",
            Self::Pending => "pending",
            Self::Refresh => "refresh",
            Self::Used => "used",
        }
    }
}

/// The keys of one deployment. All of them have its hash tag, so that a cluster keeps them together.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn of(deployment: &str) -> Self {
        Self {
            prefix: format!("{{{deployment}}}:"),
        }
    }

    /// What all keys start with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The sorted set of all records of a kind.
    pub(super) fn index(&self, kind: Kind) -> String {
        format!("{}{}", self.prefix, kind.name())
    }

    pub(super) fn record(&self, kind: Kind, name: &str) -> String {
        format!("{}{}:{name}", self.prefix, kind.name())
    }

    pub(super) fn digest(&self, kind: Kind, digest: &Digest) -> String {
        self.record(kind, &name(digest))
    }

    pub(super) fn client(&self, id: &ClientId) -> String {
        self.record(Kind::Client, id.as_str())
    }

    /// The grants of one user.
    pub(super) fn grants_of(&self, subject: &Subject) -> String {
        format!("{}grants-of:{subject}", self.prefix)
    }

    /// The grants to one client.
    pub(super) fn grants_to(&self, client: &ClientId) -> String {
        format!("{}grants-to:{client}", self.prefix)
    }

    /// The consents of one user.
    pub(super) fn consents_of(&self, subject: &Subject) -> String {
        format!("{}consents-of:{subject}", self.prefix)
    }

    /// The consents to one client.
    pub(super) fn consents_to(&self, client: &ClientId) -> String {
        format!("{}consents-to:{client}", self.prefix)
    }

    /// The device that has a user code.
    pub(super) fn user_code(&self, code: &Digest) -> String {
        format!("{}user-code:{}", self.prefix, name(code))
    }

    /// The numbers of the keys of one purpose.
    pub(super) fn numbers(&self, purpose: KeyPurpose) -> String {
        format!("{}keys:{}", self.prefix, purpose_name(purpose))
    }

    /// What the names of the keys of one purpose follow after.
    pub(super) fn keys_of(&self, purpose: KeyPurpose) -> String {
        self.record(Kind::Key, purpose_name(purpose))
    }

    pub(super) fn key(&self, key: &KeyRecord) -> String {
        self.record(Kind::Key, &name_of_key(key))
    }

    /// How many revocations there have been.
    pub(super) fn revocations(&self) -> String {
        format!("{}revocations", self.prefix)
    }

    /// The channel that tells of them.
    pub(super) fn revoked(&self) -> String {
        format!("{}revoked", self.prefix)
    }

    /// The channel by which one machine sends messages to itself.
    pub(super) fn beats(&self, machine: &str) -> String {
        format!("{}beat:{machine}", self.prefix)
    }

    /// The version of the layout.
    pub(super) fn schema(&self) -> String {
        format!("{}schema", self.prefix)
    }
}

/// A digest as part of a key.
pub(super) fn name(digest: &Digest) -> String {
    base64url(digest.as_bytes())
}

pub(super) fn consent_name(
    subject: &Subject,
    client: &ClientId,
    resource: &ResourceUri,
    destination: Option<&Destination>,
) -> Digest {
    // None of the first three has a line break in it.
    let mut name = format!("{subject}\n{client}\n{}", resource.canonical());
    if let Some(destination) = destination {
        name.push('\n');
        name.push_str(destination.as_str());
    }
    Digest::of(&name)
}

pub(super) fn name_of_consent(consent: &ConsentRecord) -> String {
    name(&consent_name(
        &consent.subject,
        &consent.client_id,
        &consent.resource,
        consent.destination.as_ref(),
    ))
}

pub(super) fn name_of_key(key: &KeyRecord) -> String {
    format!("{}:{}", purpose_name(key.purpose), key.id)
}

pub(super) const fn purpose_name(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::RefreshSuccessor => "refresh-successor",
        KeyPurpose::SessionBinding => "session-binding",
        KeyPurpose::SignEdDsa => "sign-eddsa",
        KeyPurpose::SignRs256 => "sign-rs256",
    }
}
