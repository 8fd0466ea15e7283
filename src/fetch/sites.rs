//! Room for everybody: no site keeps all exchanges to itself.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many exchanges one site may have at once.
const PER_SITE: usize = 8;
/// From how many sites on those are looked for that nobody waits for any more.
const MANY: usize = 64;

/// The sites that are being talked to. There are no more of them than exchanges that run or wait.
#[derive(Default)]
pub(super) struct Sites(Mutex<HashMap<String, Weak<Semaphore>>>);

impl Sites {
    /// Waits for a turn at the site of `host`.
    pub(super) async fn turn(&self, host: &str) -> Option<OwnedSemaphorePermit> {
        let turns = self.turns(site(host));
        turns.acquire_owned().await.ok()
    }

    fn turns(&self, site: String) -> Arc<Semaphore> {
        // Nothing panics while it is held.
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = sites.get(&site).and_then(Weak::upgrade) {
            return turns;
        }
        if sites.len() >= MANY {
            sites.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(PER_SITE));
        sites.insert(site, Arc::downgrade(&turns));
        turns
    }
}

/// What has one owner, as far as a name tells: its last two labels, since below them names cost
/// nothing, or the network that an address is in, whose others come with it. Strangers below one name
/// of a registry's share the places of one, and one who keeps them all keeps the others waiting.
fn site(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            return format!("{a}.{b}.{c}.0/24");
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            return format!("{a:x}:{b:x}:{c:x}:{d:x}::/64");
        }
        Err(_) => {}
    }
    match host.rmatch_indices('.').nth(1) {
        Some((dot, _)) => host[dot + 1..].to_owned(),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_site_are_free() {
        for (host, name) in [
            ("a.b.evil.example", "evil.example"),
            ("EVIL.example.", "evil.example"),
            ("evil.example", "evil.example"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.0/24"),
            ("192.0.2.200", "192.0.2.0/24"),
            ("[2001:db8::1]", "2001:db8:0:0::/64"),
            ("[2001:DB8:0:0:ffff::2]", "2001:db8:0:0::/64"),
            ("[2001:db8:0:1::1]", "2001:db8:0:1::/64"),
            ("", ""),
        ] {
            assert_eq!(site(host), name);
        }
    }

    #[tokio::test]
    async fn sites_that_nobody_talks_to_are_forgotten() {
        let sites = Sites::default();
        for number in 0..10 * MANY {
            sites.turn(&format!("site-{number}.example")).await;
        }
        assert!(sites.0.lock().unwrap().len() <= MANY);
    }
}
