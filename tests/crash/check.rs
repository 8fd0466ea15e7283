//! After a restart: is everything that was acknowledged still so?

use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::{
    ledger::{Asked, Deletion},
    worker::{Worker, same},
};
use crate::{
    caller::Broken,
    common::{Answer, CALLBACK, Tokens},
};

/// The client that may ask about every token, and its secret.
pub(crate) const RESOURCE_SERVER: &str = "checker:of-all-tokens";

/// A server finds its database again within that time, or fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

impl Worker {
    /// As [`check`](Self::check), with servers that may not have found their database again.
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub(crate) async fn check_when_up(&mut self, thorough: bool) -> Result<usize, Broken> {
        let since = Instant::now();
        loop {
            match self.check(thorough).await {
                Err(Broken::Unavailable(_)) if since.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                checked => return checked,
            }
        }
    }

    /// Checks everything, and returns how many answers that took. `thorough` uses up every code.
    pub(crate) async fn check(&mut self, thorough: bool) -> Result<usize, Broken> {
        let mut checked = 0;
        for client in 0..self.clients.len() {
            if self.clients[client].deletion == Deletion::Asked {
                self.delete(client).await?;
            }
            checked += self.check_client(client).await?;
            for grant in 0..self.clients[client].grants.len() {
                let replay = thorough || self.rng.one_in(2);
                checked += self.check_grant(client, grant, replay).await?;
            }
        }
        Ok(checked)
    }

    /// Is it known, and what its user allowed it?
    async fn check_client(&mut self, number: usize) -> Result<usize, Broken> {
        let client = &self.clients[number];
        let deleted = client.deletion == Deletion::Acknowledged;
        if client.management.is_some() {
            let answer = self.manage(Method::GET, number).await?;
            let expected = match deleted {
                true => StatusCode::UNAUTHORIZED,
                false => StatusCode::OK,
            };
            assert_eq!(answer.status, expected, "{client:?}: {answer:?}");
        }
        let (id, consented) = (client.id.clone(), !client.grants.is_empty());
        let begun = self.caller.authorize(&id, &[]).await?;
        let expected = match deleted {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::SEE_OTHER,
        };
        let client = &self.clients[number];
        assert_eq!(begun.status, expected, "{client:?}: {begun:?}");
        if deleted || !consented {
            return Ok(2);
        }
        // The user signs in where that is needed; then the consent is remembered, and no page
        // would be shown.
        self.approve(number).await?;
        let silent = self.caller.authorize(&id, &[("prompt", "none")]).await?;
        let answered = silent.redirect(CALLBACK);
        let client = &self.clients[number];
        assert!(
            answered.contains_key("code"),
            "a consent is forgotten: {client:?}: {answered:?}"
        );
        Ok(4)
    }

    async fn check_grant(
        &mut self,
        client: usize,
        grant: usize,
        replay: bool,
    ) -> Result<usize, Broken> {
        let deleted = self.clients[client].deletion == Deletion::Acknowledged;
        if deleted {
            self.clients[client].grants[grant].revoked = true;
        }
        self.again(client, grant).await?;
        let mut checked = self.check_access(client, grant).await?;
        let mine = &self.clients[client].grants[grant];
        if mine.revoked {
            if let Some(latest) = mine.latest() {
                refused(&self.present(client, latest).await?, deleted);
            }
            refused(&self.redeem(client, grant).await?, deleted);
            return Ok(checked + 2);
        }
        if mine.tokens.is_empty() {
            if !replay {
                return Ok(checked);
            }
            let answer = self.redeem(client, grant).await?;
            self.tokens(client, grant, &answer);
        }
        if let [.., before, latest] = &*self.clients[client].grants[grant].tokens {
            let answer = self.present(client, &before.refresh).await?;
            same(&Tokens::from(&answer), latest);
        }
        self.refresh(client, grant).await?;
        checked += 3 + self.check_access(client, grant).await?;
        if replay {
            // For the second time: it gives nothing, and takes what it gave.
            refused(&self.redeem(client, grant).await?, false);
            self.clients[client].grants[grant].revoked = true;
            checked += 1 + self.check_access(client, grant).await?;
        }
        Ok(checked)
    }

    /// What nobody answered is asked for once more.
    async fn again(&mut self, client: usize, grant: usize) -> Result<(), Broken> {
        let mine = &mut self.clients[client].grants[grant];
        let Some(asked) = mine.asked.take() else {
            return Ok(());
        };
        if mine.revoked {
            return Ok(());
        }
        match asked {
            Asked::Tokens => {
                let answer = self.redeem(client, grant).await?;
                if answer.status == StatusCode::OK {
                    self.tokens(client, grant, &answer);
                } else {
                    // It was used before the server died, and nobody has the tokens.
                    refused(&answer, false);
                    self.clients[client].grants[grant].revoked = true;
                }
            }
            Asked::Refresh => self.refresh(client, grant).await?,
            Asked::RevokeAccess(number) => self.revoke_access(client, grant, number).await?,
            Asked::Revoke => self.revoke(client, grant).await?,
        }
        Ok(())
    }

    /// Is each access token served, or refused, as it should be?
    async fn check_access(&self, client: usize, grant: usize) -> Result<usize, Broken> {
        let mine = &self.clients[client].grants[grant];
        let (id, secret) = RESOURCE_SERVER.split_once(':').unwrap();
        for (number, tokens) in mine.tokens.iter().enumerate() {
            let live = !mine.revoked && !mine.gone.contains(&number);
            let form = [
                ("client_id", id),
                ("client_secret", secret),
                ("token", &tokens.access),
            ];
            let answer = self.caller.call("/oauth/introspect", &form).await?;
            assert_eq!(answer.json()["active"], live, "token {number} of {mine:?}");
            let since = Instant::now();
            let (served, answer) = loop {
                let asked = self.caller.bearing(Method::GET, "/mcp", &tokens.access);
                let answer = asked.await?;
                let served = answer.status != StatusCode::UNAUTHORIZED;
                // Another machine has yet to hear of what this worker was just told.
                if live || !served || since.elapsed() >= self.patience {
                    break (served, answer);
                }
            };
            assert_eq!(served, live, "token {number} of {mine:?}: {answer:?}");
            assert!(!answer.status.is_server_error(), "{answer:?}");
        }
        Ok(2 * mine.tokens.len())
    }
}

/// The token endpoint says no, and why.
#[track_caller]
fn refused(answer: &Answer, client_deleted: bool) {
    match client_deleted {
        true => answer.assert_error(401, "invalid_client"),
        false => answer.assert_error(400, "invalid_grant"),
    }
}
