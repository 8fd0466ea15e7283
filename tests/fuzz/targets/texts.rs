//! Every text that the crate reads by itself: parsed or refused, and the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_mcp_auth::{
    ClientId, CodeChallenge, GrantId, Issuer, McpAuth, McpOptions, MemoryStore, ResourceUri,
    Scopes, Subject, store,
};
use tower_mcp_auth_fuzz::runtime;

fuzz_target!(|bytes: &[u8]| {
    // Lines of an export are read whole or named.
    let imported = runtime().block_on(store::import(&MemoryStore::new(), bytes));
    if let Err(error) = imported {
        let _ = error.to_string();
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = serde_json::from_str::<McpOptions>(text);
    if let Ok(uri) = ResourceUri::parse(text) {
        assert_eq!(uri.as_str(), text, "shown as written");
        assert_eq!(ResourceUri::parse(uri.as_str()).as_ref(), Ok(&uri));
    }
    if let Ok(issuer) = Issuer::parse(text) {
        assert_eq!(
            Issuer::parse(issuer.as_str()).map(|again| again.to_string()),
            Ok(issuer.to_string())
        );
    }
    if let Ok(scopes) = Scopes::parse(text) {
        assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes));
    }
    if let Ok(subject) = Subject::new(text) {
        assert_eq!(subject.as_str(), text);
    }
    if let Ok(client) = ClientId::new(text) {
        assert_eq!(client.as_str(), text);
    }
    if let Ok(grant) = text.parse::<GrantId>() {
        assert_eq!(grant.to_string(), text);
    }
    let _ = CodeChallenge::parse(text);
    let _ = McpAuth::builder(text)
        .endpoints(text)
        .login_page(text)
        .build();
});
