//! How often each kind of request asks the database: the table in `docs/scaling.md`.

use std::collections::BTreeMap;

use super::{
    Kind, PUBLIC, RESOURCE_SERVER, Server, StatusCode,
    caller::Caller,
    common::{CALLBACK, Tokens},
    flags,
    nodes::{engine::Engine, wire::Wire},
    redeem, refresh, served,
};

const EXPECTED: [(&str, usize); 12] = [
    ("registration", 1),
    ("authorize", 2),
    ("sign-in page", 0),
    ("sign-in", 0),
    ("consent page", 3),
    ("consent", 5),
    ("code exchange", 3),
    ("refresh", 3),
    ("cold hit", 1),
    ("cached hit", 0),
    ("introspection", 1),
    ("revocation", 3),
];

pub(super) async fn each_request_asks_as_often_as_the_docs_say(kind: Kind) {
    let Some(engine) = Engine::start(kind).await else {
        return;
    };
    let wire = Wire::to(engine.port()).await;
    let server = Server::start_with(&engine.url_by(wire.port), &flags(PUBLIC)).await;
    let mut ledger = Ledger {
        wire: &wire,
        caller: Caller::new(&server.origin, "alice"),
        seen: 0,
        found: Vec::new(),
    };
    // The first time keys are made and scripts are sent.
    ledger.all("First").await;
    ledger.found.clear();
    ledger.caller = Caller::new(&server.origin, "alice");
    ledger.all("Second").await;
    assert_eq!(ledger.found, EXPECTED, "on {kind:?}");
}

struct Ledger<'a> {
    wire: &'a Wire,
    caller: Caller,
    seen: usize,
    found: Vec<(&'static str, usize)>,
}

impl Ledger<'_> {
    fn note(&mut self, what: &'static str) {
        let now = self.wire.operations();
        self.found.push((what, now - self.seen));
        self.seen = now;
    }

    /// Whether the feed is trusted: it takes a moment at first.
    async fn serves_from_cache(&mut self, tokens: &Tokens) -> bool {
        assert!(served(&self.caller, &tokens.access).await);
        let before = std::mem::replace(&mut self.seen, self.wire.operations());
        before == self.seen
    }

    async fn all(&mut self, name: &str) {
        self.seen = self.wire.operations();
        let client = self.caller.public_client(name).await;
        self.note("registration");
        let code = self.approve(&client).await;
        let tokens = Tokens::from(&redeem(&self.caller, &client, &code).await);
        self.note("code exchange");
        while !self.serves_from_cache(&tokens).await {}
        let tokens = Tokens::from(&refresh(&self.caller, &client, &tokens.refresh).await);
        self.note("refresh");
        assert!(served(&self.caller, &tokens.access).await);
        self.note("cold hit");
        assert!(served(&self.caller, &tokens.access).await);
        self.note("cached hit");
        let (id, secret) = RESOURCE_SERVER.split_once(':').unwrap();
        let form = [
            ("client_id", id),
            ("client_secret", secret),
            ("token", &tokens.access),
        ];
        let answer = self.caller.call("/oauth/introspect", &form).await.unwrap();
        assert_eq!(answer.json()["active"], true);
        self.note("introspection");
        let form = [("client_id", &*client), ("token", &*tokens.refresh)];
        let answer = self.caller.call("/oauth/revoke", &form).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        self.note("revocation");
        assert!(!served(&self.caller, &tokens.access).await);
    }

    /// A browser without cookies: signing in, consent, and the code.
    async fn approve(&mut self, client: &str) -> String {
        let asked = self.caller.authorize(client, &[]).await.unwrap();
        self.note("authorize");
        let mut fields = self.page(&asked.headers["location"]).await;
        self.note("sign-in page");
        for name in ["username", "password"] {
            fields.insert(name.to_owned(), "alice".to_owned());
        }
        let signed_in = self.caller.browse("/sign-in", Some(&fields)).await.unwrap();
        self.note("sign-in");
        let mut fields = self.page(&signed_in.headers["location"]).await;
        self.note("consent page");
        fields.insert("decision".to_owned(), "approve".to_owned());
        let answer = self
            .caller
            .browse("/oauth/consent", Some(&fields))
            .await
            .unwrap();
        self.note("consent");
        answer.redirect(CALLBACK)["code"].clone()
    }

    /// What the form of a page holds.
    async fn page(&mut self, location: &http::HeaderValue) -> BTreeMap<String, String> {
        let location = location.to_str().unwrap();
        let page = self.caller.browse(location, None).await.unwrap();
        assert_eq!(page.status, StatusCode::OK, "{location}: {page:?}");
        page.fields()
    }
}
