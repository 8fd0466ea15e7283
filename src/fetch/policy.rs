//! How long an answer may be kept (RFC 9111 §5.2).

use std::time::Duration;

use http::{HeaderMap, header};

/// What the server said of keeping its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CachePolicy {
    /// `s-maxage` or `max-age`, less `Age`.
    pub(crate) max_age: Option<Duration>,
    /// `no-store` or `no-cache`.
    pub(crate) fleeting: bool,
}

/// The bounds within which the server is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// However little the server allows: its address must not be hammered through us.
    pub(crate) min: Duration,
    /// Where it says nothing.
    pub(crate) default: Duration,
    /// However much it allows.
    pub(crate) max: Duration,
}

impl CachePolicy {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut max_age, mut s_maxage, mut fleeting) = (None, None, false);
        let lines = headers.get_all(header::CACHE_CONTROL).iter();
        for directive in lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
        {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim().trim_matches('"').parse::<u64>().ok();
            match name.trim().to_ascii_lowercase().as_str() {
                // Of two the shorter one: nobody means both.
                "max-age" => max_age = shorter(max_age, seconds()),
                "s-maxage" => s_maxage = shorter(s_maxage, seconds()),
                "no-store" | "no-cache" => fleeting = true,
                _ => {}
            }
        }
        let age = headers
            .get(header::AGE)
            .and_then(|age| age.to_str().ok()?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            max_age: s_maxage
                .or(max_age)
                .map(|seconds| Duration::from_secs(seconds.saturating_sub(age))),
            fleeting,
        }
    }

    /// How long the answer is kept.
    pub(crate) fn lifetime(&self, bounds: &Lifetimes) -> Duration {
        if self.fleeting {
            return bounds.min;
        }
        self.max_age
            .unwrap_or(bounds.default)
            .clamp(bounds.min, bounds.max.max(bounds.min))
    }
}

fn shorter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_believed_within_bounds() {
        let bounds = Lifetimes {
            min: Duration::from_secs(60),
            default: Duration::from_secs(300),
            max: Duration::from_secs(3600),
        };
        for (cache_control, age, seconds) in [
            ("", "", 300),
            ("max-age=600", "", 600),
            ("public, MAX-AGE=\"600\"", "", 600),
            ("max-age=600", "500", 100),
            ("max-age=600", "599", 60),
            ("max-age=0", "", 60),
            ("max-age=99999999999", "", 3600),
            ("max-age=99999999999999999999999", "", 300),
            ("max-age=-1", "", 300),
            ("max-age=600, s-maxage=900", "", 900),
            ("max-age=600, max-age=90", "", 90),
            ("no-store, max-age=600", "", 60),
            ("no-cache", "", 60),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, cache_control.parse().unwrap());
            headers.insert(header::AGE, age.parse().unwrap());
            let lifetime = CachePolicy::of(&headers).lifetime(&bounds);
            assert_eq!(lifetime.as_secs(), seconds, "{cache_control} {age}");
        }
    }
}
