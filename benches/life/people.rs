//! Who has which tokens, and what they do next.

use std::sync::Mutex;

use serde_json::Value;

use crate::{common::BASIC, connection::Connection};

const COUNT: usize = 10_000;
const REFRESHES: f64 = 0.02;
const REVOCATIONS: f64 = 0.001;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Request,
    Refresh,
    Revoke,
}

#[derive(Clone)]
struct Person {
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
                    for _ in 0..COUNT.div_ceil(crate::CONNECTIONS) {
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

    /// `None` where somebody else revoked the token just then.
    pub async fn request(&self, who: usize, connection: &mut Connection) -> Option<Act> {
        let token = self.token(who);
        let status = connection.get("/mcp", &token).await.status;
        if status == 401 {
            let person = self.all[who].lock().unwrap();
            assert!(
                person.refresh.is_none() || person.access != token,
                "refused"
            );
            return None;
        }
        assert_eq!(status, 200);
        Some(Act::Request)
    }

    /// `None` where they are at something else.
    pub async fn refresh(&self, who: usize, connection: &mut Connection) -> Option<Act> {
        let refresh = self.all[who].lock().unwrap().refresh.take()?;
        let form = format!("grant_type=refresh_token&refresh_token={refresh}");
        let answer = connection.post("/oauth/token", BASIC, &form).await;
        assert_eq!(answer.status, 200);
        *self.all[who].lock().unwrap() = person(answer.body);
        Some(Act::Refresh)
    }

    /// After which the token is refused.
    pub async fn revoke(&self, who: usize, connection: &mut Connection) -> Option<Act> {
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
        access: text("access_token"),
        refresh: Some(text("refresh_token")),
    }
}
