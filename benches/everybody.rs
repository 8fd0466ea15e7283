//! An issuer that finds every token good, with everything freshly made, as a store does.

use tower_mcp_auth::{
    ClientId, GrantId, McpSession, PresentedToken, ProtectedResource, ResourceUri, Scopes, Subject,
    Timestamp, TokenCache, TokenVerifier, Verdict, VerifierUnavailable,
};

pub const MCP: &str = "https://api.example.com/mcp";

pub struct Everybody;

impl TokenVerifier for Everybody {
    fn recognises(&self, token: &str) -> bool {
        token.starts_with("mcp_at_")
    }

    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let digest = token.digest();
        let mut grant = [0; 16];
        grant.copy_from_slice(&digest.as_bytes()[..16]);
        let number = u32::from_le_bytes([grant[0], grant[1], grant[2], grant[3]]);
        let session = McpSession::builder(
            Subject::new(format!("user-{number}")).unwrap(),
            ClientId::new(format!("client-{}", number % 100)).unwrap(),
            ResourceUri::parse(MCP).unwrap(),
            Timestamp::from_secs(1 << 40),
        );
        let scopes = Scopes::parse("notes:read notes:write").unwrap();
        let session = session.scopes(scopes).grant_id(GrantId::from_bytes(grant));
        Ok(Verdict::Verified(session.build()))
    }
}

/// Tokens of our own form, the same each time.
pub fn token(index: usize) -> String {
    format!("mcp_at_{index:0>43}")
}

/// A resource that remembers `entries` of them for as long as it takes.
pub fn resource(entries: u64) -> ProtectedResource {
    let cache = TokenCache::builder().max_entries(entries);
    let a_day = std::time::Duration::from_secs(24 * 60 * 60);
    ProtectedResource::builder(MCP, Everybody)
        .scopes("notes:read notes:write")
        .cache(cache.time_to_live(a_day).build())
        .build()
        .unwrap()
}
