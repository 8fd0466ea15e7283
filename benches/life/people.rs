//! Who has which tokens, and what they do next.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{common::BASIC, connection::Connection};

/// Those that do not wait for their token to expire.
const REFRESHES: f64 = 0.002;
const REVOCATIONS: f64 = 0.001;
/// How exactly the server's clock and ours agree.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Request,
    /// After a refusal, which counts in, or ahead of it.
    Refresh,
    /// After two.
    SignIn,
    /// With the refusal after it.
    Revoke,
}

pub const KINDS: [&str; 4] = ["request", "refresh", "sign-in", "revoke"];

#[derive(Clone)]
struct Person {
    since: Instant,
    access: String,
    /// Taken while somebody is at it: one person does one thing at a time with it.
    refresh: Option<String>,
}

pub struct People {
    all: Vec<Mutex<Person>>,
    /// How likely it is one of the first so many (Zipf with exponent 1).
    cumulated: Vec<f64>,
}

/// xorshift64*
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl People {
    /// All sign in, over as many connections as they use later.
    pub async fn sign_in(port: u16) -> Self {
        let tasks: Vec<_> = (0..crate::CONNECTIONS)
            .map(|_| {
                tokio::spawn(async move {
                    let mut connection = Connection::open(port).await;
                    let mut people = Vec::new();
                    for _ in 0..crate::PEOPLE.div_ceil(crate::CONNECTIONS as u64) {
                        people.push(Mutex::new(sign_in(&mut connection).await));
                    }
                    people
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        let mut cumulated: Vec<f64> = Vec::new();
        for rank in 1..=all.len() {
            cumulated.push(cumulated.last().unwrap_or(&0.0) + 1.0 / rank as f64);
        }
        Self { all, cumulated }
    }

    pub fn next(&self, dice: &mut Dice) -> (usize, Act) {
        let share = dice.roll() * self.cumulated.last().unwrap();
        let who = self.cumulated.partition_point(|upto| *upto < share);
        let act = match dice.roll() {
            low if low < REVOCATIONS => Act::Revoke,
            low if low < REVOCATIONS + REFRESHES => Act::Refresh,
            _ => Act::Request,
        };
        (who, act)
    }

    pub fn token(&self, who: usize) -> String {
        self.all[who].lock().unwrap().access.clone()
    }

    /// What came of it: whose token has expired refreshes first. `None` where somebody else is at
    /// it just then.
    pub async fn act(&self, who: usize, act: Act, connection: &mut Connection) -> Option<Act> {
        match act {
            Act::Revoke => self.revoke(who, connection).await,
            Act::Refresh => {
                let refresh = self.all[who].lock().unwrap().refresh.take()?;
                self.refresh(who, &refresh, connection).await
            }
            _ => self.request(who, connection).await,
        }
    }

    async fn request(&self, who: usize, connection: &mut Connection) -> Option<Act> {
        let token = self.token(who);
        let status = connection.get("/mcp", &token).await.status;
        if status == 200 {
            return Some(Act::Request);
        }
        assert_eq!(status, 401);
        let refresh = {
            let mut person = self.all[who].lock().unwrap();
            if person.access != token {
                return None;
            }
            let refresh = person.refresh.take()?;
            assert!(person.since.elapsed() + SECOND > crate::ACCESS, "refused");
            refresh
        };
        self.refresh(who, &refresh, connection).await
    }

    async fn refresh(&self, who: usize, refresh: &str, connection: &mut Connection) -> Option<Act> {
        let form = format!("grant_type=refresh_token&refresh_token={refresh}");
        let answer = connection.post("/oauth/token", BASIC, &form).await;
        if answer.status == 200 {
            *self.all[who].lock().unwrap() = person(answer.body);
            return Some(Act::Refresh);
        }
        assert_eq!(answer.status, 400);
        let since = self.all[who].lock().unwrap().since;
        assert!(since.elapsed() + SECOND > crate::REFRESH, "lost");
        self.return_of(who, connection).await;
        Some(Act::SignIn)
    }

    /// After which the token is refused.
    async fn revoke(&self, who: usize, connection: &mut Connection) -> Option<Act> {
        let (token, refresh) = {
            let mut person = self.all[who].lock().unwrap();
            (person.access.clone(), person.refresh.take()?)
        };
        let form = format!("token={refresh}");
        let answer = connection.post("/oauth/revoke", BASIC, &form).await;
        assert_eq!(answer.status, 200);
        assert_eq!(connection.get("/mcp", &token).await.status, 401, "served");
        Some(Act::Revoke)
    }

    pub async fn return_of(&self, who: usize, connection: &mut Connection) {
        let person = sign_in(connection).await;
        *self.all[who].lock().unwrap() = person;
    }
}

async fn sign_in(connection: &mut Connection) -> Person {
    let code = connection.get("/code", "").await;
    let form = String::from_utf8(code.body.to_vec()).unwrap();
    let answer = connection.post("/oauth/token", BASIC, &form).await;
    assert_eq!(answer.status, 200);
    person(answer.body)
}

fn person(body: &[u8]) -> Person {
    let tokens: Value = serde_json::from_slice(body).unwrap();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    Person {
        since: Instant::now(),
        access: text("access_token"),
        refresh: Some(text("refresh_token")),
    }
}
