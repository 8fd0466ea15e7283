//! A client program with its user: what it does, and what it was answered.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    ledger::{Asked, Client, Deletion, Grant},
    rng::Rng,
};
use crate::{
    caller::{Broken, Caller},
    common::{Answer, CALLBACK, Tokens, VERIFIER},
};

pub(crate) struct Worker {
    pub(super) caller: Caller,
    pub(super) user: &'static str,
    pub(super) rng: Rng,
    pub(super) clients: Vec<Client>,
    /// How long a revocation may take to be in force at all servers.
    pub(super) patience: Duration,
    /// A permit for each answer that acknowledged a change.
    pub(super) acknowledged: Arc<Semaphore>,
}

#[allow(dead_code, reason = "each test program uses a part of it")]
impl Worker {
    pub(crate) fn new(origin: &str, number: u64, rng: Rng, acknowledged: Arc<Semaphore>) -> Self {
        Self::over(&[origin.to_owned()], number, rng, acknowledged)
    }

    /// Works with several servers in turn.
    pub(crate) fn over(
        origins: &[String],
        number: u64,
        rng: Rng,
        acknowledged: Arc<Semaphore>,
    ) -> Self {
        let user = ["demo", "alice"][usize::from(number % 2 == 1)];
        Self {
            caller: Caller::over(origins, user),
            patience: match origins.len() {
                1 => Duration::ZERO,
                _ => Duration::from_secs(1),
            },
            user,
            rng,
            clients: Vec::new(),
            acknowledged,
        }
    }

    /// After a restart: other connections, and a browser without cookies.
    pub(crate) fn reconnect(&mut self, origin: &str) {
        self.reconnect_over(&[origin.to_owned()]);
    }

    pub(crate) fn reconnect_over(&mut self, origins: &[String]) {
        self.caller = Caller::over(origins, self.user);
    }

    fn acknowledge(&self) {
        self.acknowledged.add_permits(1);
    }

    /// One client, and what becomes of it.
    pub(crate) async fn round(&mut self) -> Result<(), Broken> {
        self.register().await?;
        let client = self.clients.len() - 1;
        for _ in 0..=self.rng.below(3) {
            self.approve(client).await?;
            let grant = self.clients[client].grants.len() - 1;
            if self.rng.one_in(6) {
                continue;
            }
            let answer = self.redeem(client, grant).await?;
            self.tokens(client, grant, &answer);
            for _ in 0..self.rng.below(4) {
                self.refresh(client, grant).await?;
            }
            match self.rng.below(6) {
                0 => self.revoke(client, grant).await?,
                1 => self.revoke_access(client, grant, 0).await?,
                _ => {}
            }
        }
        if self.clients[client].management.is_some() && self.rng.one_in(4) {
            self.delete(client).await?;
        }
        Ok(())
    }

    async fn register(&mut self) -> Result<(), Broken> {
        let method = ["none", "client_secret_post"][usize::from(self.rng.one_in(2))];
        let mut redirect_uris = vec![CALLBACK.to_owned()];
        if self.rng.one_in(4) {
            // As large as can be.
            let long = "x".repeat(1900);
            redirect_uris.extend((0..7).map(|number| format!("{CALLBACK}/{number}/{long}")));
        }
        let metadata = json!({
            "client_name": format!("Client {:x}", self.rng.next()),
            "redirect_uris": redirect_uris,
            "token_endpoint_auth_method": method,
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let answer = self.caller.register(&metadata).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        self.acknowledge();
        let registered = answer.json();
        let text = |name: &str| registered[name].as_str().map(ToOwned::to_owned);
        self.clients.push(Client {
            id: text("client_id").unwrap(),
            secret: text("client_secret"),
            management: text("registration_access_token"),
            deletion: Deletion::None,
            grants: Vec::new(),
        });
        Ok(())
    }

    /// A code, through the sign-in page and the consent page where they are shown.
    pub(super) async fn approve(&mut self, client: usize) -> Result<(), Broken> {
        let code = self.caller.approve(&self.clients[client].id).await?;
        self.acknowledge();
        self.clients[client].grants.push(Grant::new(code));
        Ok(())
    }

    /// Presents the code; the answer is for the caller to judge.
    pub(super) async fn redeem(&mut self, client: usize, grant: usize) -> Result<Answer, Broken> {
        let owner = &mut self.clients[client];
        owner.grants[grant].asked = Some(Asked::Tokens);
        let form = owner.form(&[
            ("grant_type", "authorization_code"),
            ("code", &owner.grants[grant].code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", CALLBACK),
        ]);
        let answer = self.caller.call("/oauth/token", &form).await?;
        self.clients[client].grants[grant].asked = None;
        Ok(answer)
    }

    /// Takes note of the tokens in an answer.
    pub(super) fn tokens(&mut self, client: usize, grant: usize, answer: &Answer) {
        self.acknowledge();
        let tokens = Tokens::from(answer);
        self.clients[client].grants[grant].tokens.push(tokens);
    }

    /// Presents a refresh token.
    pub(super) async fn present(&self, client: usize, token: &str) -> Result<Answer, Broken> {
        let form =
            self.clients[client].form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        self.caller.call("/oauth/token", &form).await
    }

    /// Presents the latest refresh token, sometimes twice at the same time.
    pub(super) async fn refresh(&mut self, client: usize, grant: usize) -> Result<(), Broken> {
        let twice = self.rng.one_in(4);
        let mine = &mut self.clients[client].grants[grant];
        mine.asked = Some(Asked::Refresh);
        let token = mine.latest().unwrap().to_owned();
        let (first, second) = tokio::join!(self.present(client, &token), async {
            match twice {
                true => Some(self.present(client, &token).await),
                false => None,
            }
        });
        let answers: Vec<_> = [Some(first), second].into_iter().flatten().collect();
        for answer in answers.iter().flatten() {
            let mine = &mut self.clients[client].grants[grant];
            if mine.asked.take().is_some() {
                self.tokens(client, grant, answer);
            } else {
                same(&Tokens::from(answer), mine.tokens.last().unwrap());
            }
        }
        answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(())
    }

    /// Revokes the access token of that number and nothing else.
    pub(super) async fn revoke_access(
        &mut self,
        client: usize,
        grant: usize,
        number: usize,
    ) -> Result<(), Broken> {
        let token = self.clients[client].grants[grant].tokens[number]
            .access
            .clone();
        let asked = Asked::RevokeAccess(number);
        self.end(client, grant, asked, &token).await?;
        self.clients[client].grants[grant].gone.insert(number);
        Ok(())
    }

    /// Revokes everything that came of a code.
    pub(super) async fn revoke(&mut self, client: usize, grant: usize) -> Result<(), Broken> {
        let latest = self.clients[client].grants[grant].latest();
        let token = latest.unwrap().to_owned();
        self.end(client, grant, Asked::Revoke, &token).await?;
        self.clients[client].grants[grant].revoked = true;
        Ok(())
    }

    async fn end(
        &mut self,
        client: usize,
        grant: usize,
        asked: Asked,
        token: &str,
    ) -> Result<(), Broken> {
        self.clients[client].grants[grant].asked = Some(asked);
        let form = self.clients[client].form(&[("token", token)]);
        let answer = self.caller.call("/oauth/revoke", &form).await?;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        self.acknowledge();
        self.clients[client].grants[grant].asked = None;
        Ok(())
    }

    /// Has the client forgotten.
    pub(super) async fn delete(&mut self, client: usize) -> Result<(), Broken> {
        let again = self.clients[client].deletion == Deletion::Asked;
        self.clients[client].deletion = Deletion::Asked;
        let answer = self.manage(Method::DELETE, client).await?;
        // The first time it may have happened.
        let gone = again && answer.status == StatusCode::UNAUTHORIZED;
        assert!(
            gone || answer.status == StatusCode::NO_CONTENT,
            "{answer:?}"
        );
        self.acknowledge();
        self.clients[client].deletion = Deletion::Acknowledged;
        Ok(())
    }

    pub(super) async fn manage(&self, method: Method, client: usize) -> Result<Answer, Broken> {
        let client = &self.clients[client];
        let path = format!("/oauth/register?client_id={}", client.id);
        let token = client.management.as_deref().unwrap();
        self.caller.bearing(method, &path, token).await
    }
}

/// A repeat gives the same tokens, of whose time less may be left.
#[track_caller]
pub(super) fn same(repeated: &Tokens, first: &Tokens) {
    assert_eq!(repeated.refresh, first.refresh, "another refresh token");
    assert_eq!(repeated.access, first.access, "another access token");
}
