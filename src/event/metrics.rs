//! Events as counters of the `metrics` facade, for whatever recorder the application has installed.
//!
//! No label holds a client, a user or a grant: there are as many series as there are resources,
//! endpoints and reasons.

use metrics::{counter, gauge};

use super::Event;

pub(super) fn count(event: &Event<'_>) {
    match *event {
        // Counted where it happens.
        Event::Admitted { .. } => {}
        Event::Refused {
            resource, refusal, ..
        } => counter!(
            "mcp_auth_refused_total",
            "resource" => resource.to_string(),
            "reason" => refusal.reason(),
        )
        .increment(1),
        Event::StreamEnded {
            resource, refusal, ..
        } => counter!(
            "mcp_auth_streams_ended_total",
            "resource" => resource.to_string(),
            "reason" => refusal.reason(),
        )
        .increment(1),
        Event::ClientRegistered { is_new, .. } => {
            counter!("mcp_auth_clients_registered_total", "new" => flag(is_new)).increment(1);
        }
        Event::SignInRequired { .. } => counter!("mcp_auth_sign_ins_required_total").increment(1),
        Event::CodeIssued { remembered, .. } => {
            counter!("mcp_auth_codes_issued_total", "remembered" => flag(remembered)).increment(1);
        }
        Event::ConsentDenied { .. } => counter!("mcp_auth_consents_denied_total").increment(1),
        Event::DeviceBegun { .. } => counter!("mcp_auth_devices_begun_total").increment(1),
        Event::DeviceApproved { .. } => counter!("mcp_auth_devices_approved_total").increment(1),
        Event::TokensIssued { repeated, .. } => {
            counter!("mcp_auth_tokens_issued_total", "repeated" => flag(repeated)).increment(1);
        }
        Event::Refreshed { repeated, .. } => {
            counter!("mcp_auth_refreshes_total", "repeated" => flag(repeated)).increment(1);
        }
        Event::CodeReplayed { .. } => replayed("code"),
        Event::RefreshReplayed { .. } => replayed("refresh_token"),
        Event::SignedOut { .. } => counter!("mcp_auth_sign_outs_total").increment(1),
        Event::Revoked {
            grants,
            access_tokens,
        } => {
            counter!("mcp_auth_revoked_total", "what" => "grant").increment(grants.len() as u64);
            counter!("mcp_auth_revoked_total", "what" => "access_token")
                .increment(access_tokens as u64);
        }
        Event::EndpointRefused {
            endpoint,
            error,
            reason,
            ..
        } => counter!(
            "mcp_auth_endpoint_refused_total",
            "endpoint" => format!("{endpoint:?}"),
            "error" => error.to_owned(),
            "reason" => reason.to_owned(),
        )
        .increment(1),
        Event::FeedBehind => feed(0.0),
        Event::FeedCaughtUp => feed(1.0),
        Event::StoreFailed { .. } => failed("store"),
        Event::AuthenticatorFailed { .. } => failed("authenticator"),
        Event::SignOutFailed { .. } => failed("sign_out"),
        Event::PolicyFailed { .. } => failed("policy"),
        Event::VerifierFailed { .. } | Event::VerifierUnavailable { .. } => failed("verifier"),
    }
}

fn replayed(what: &'static str) {
    counter!("mcp_auth_replays_total", "what" => what).increment(1);
}

fn failed(what: &'static str) {
    counter!("mcp_auth_failures_total", "what" => what).increment(1);
}

/// Whether this machine hears what others revoke.
fn feed(current: f64) {
    gauge!("mcp_auth_feed_current").set(current);
}

const fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}
