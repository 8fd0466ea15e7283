//! Events as log lines.

use super::Event;

#[cfg(feature = "tracing")]
pub(super) fn write(event: &Event<'_>) {
    use std::error::Error;

    use tracing::field::display;

    match *event {
        Event::Admitted { .. } => {}
        Event::Refused {
            resource,
            refusal,
            session,
        } => {
            let client = session.map(|session| display(session.client_id()));
            let subject = session.map(|session| display(session.subject()));
            if refusal.is_routine() {
                // The first request of every client, and stale tokens: no news to an operator.
                tracing::debug!(reason = refusal.reason(), %resource, client, subject, "refused");
            } else {
                tracing::info!(reason = refusal.reason(), %resource, client, subject, "refused");
            }
        }
        Event::StreamEnded {
            resource,
            session,
            refusal,
        } => {
            let (client, subject) = (session.client_id(), session.subject());
            tracing::debug!(reason = refusal.reason(), %resource, %client, %subject, "stream ended");
        }
        Event::ClientRegistered { client_id, is_new } => {
            tracing::info!(%client_id, is_new, "client registered");
        }
        Event::SignInRequired { client_id } => tracing::debug!(%client_id, "sign-in required"),
        Event::CodeIssued {
            client_id,
            subject,
            grant,
            scopes,
            remembered,
        } => {
            tracing::info!(%client_id, %subject, %grant, %scopes, remembered, "access allowed");
        }
        Event::ConsentDenied { client_id, subject } => {
            tracing::info!(%client_id, %subject, "access denied");
        }
        Event::DeviceBegun { client_id } => tracing::debug!(%client_id, "a device waits"),
        Event::DeviceApproved {
            client_id,
            subject,
            grant,
            scopes,
        } => {
            tracing::info!(%client_id, %subject, %grant, %scopes, "device approved");
        }
        Event::TokensIssued {
            client_id,
            subject,
            grant,
            scopes,
            repeated,
        } => {
            tracing::info!(%client_id, %subject, %grant, %scopes, repeated, "tokens issued");
        }
        Event::Refreshed {
            client_id,
            subject,
            grant,
            generation,
            repeated,
        } => {
            tracing::debug!(%client_id, %subject, %grant, generation, repeated, "refreshed");
        }
        Event::CodeReplayed { client_id, grant } => {
            tracing::warn!(%client_id, %grant, "code replayed, grant revoked");
        }
        Event::RefreshReplayed { client_id, grant } => {
            tracing::warn!(%client_id, %grant, "refresh token replayed, grant revoked");
        }
        Event::SignedOut {
            client_id,
            subject,
            asked,
        } => {
            let client_id = client_id.map(display);
            tracing::info!(client_id, %subject, asked, "signed out");
        }
        Event::Revoked {
            grants,
            access_tokens,
        } => {
            tracing::info!(grants = grants.len(), access_tokens, "revoked");
        }
        Event::EndpointRefused {
            endpoint,
            client_id,
            error,
            reason,
        } => {
            // The client's own words: quoted, so that they cannot forge a line.
            if error == "authorization_pending" {
                // What a device hears every few seconds.
                tracing::debug!(?endpoint, ?client_id, error, reason, "refused");
            } else {
                tracing::info!(?endpoint, ?client_id, error, reason, "refused");
            }
        }
        Event::StoreFailed { error } => {
            tracing::error!(error = error as &dyn Error, "the store failed");
        }
        Event::FeedBehind => {
            tracing::warn!("what other machines revoke is not heard");
        }
        Event::FeedCaughtUp => tracing::info!("what other machines revoked is known"),
        Event::AuthenticatorFailed { error } => {
            tracing::error!(%error, "the application cannot say who is signed in");
        }
        Event::SignOutFailed { error } => {
            tracing::error!(%error, "the application cannot end a session");
        }
        Event::PolicyFailed { error } => {
            tracing::error!(%error, "the application cannot decide on a registration");
        }
        Event::VerifierFailed { cause } => {
            tracing::error!(error = cause as &dyn Error, "tokens cannot be verified");
        }
        Event::VerifierUnavailable { resource, cause } => {
            tracing::error!(%resource, error = cause, "tokens cannot be verified");
        }
    }
}

#[cfg(not(feature = "tracing"))]
pub(super) const fn write(_: &Event<'_>) {}
