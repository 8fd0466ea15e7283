//! A web site in this process.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Path, response::IntoResponse, routing::get};
use http::StatusCode;

/// Its documents can be changed, and it counts what is asked of it.
#[derive(Clone, Default)]
pub struct Site {
    pages: Arc<Mutex<HashMap<String, (StatusCode, String)>>>,
    asked: Arc<Mutex<usize>>,
}

impl Site {
    /// Serves and returns its origin.
    pub async fn serve(&self) -> String {
        let site = self.clone();
        let app: Router = Router::new().route(
            "/{page}",
            get(move |Path(page): Path<String>| async move {
                *site.asked.lock().unwrap() += 1;
                let (status, body) = site.pages.lock().unwrap()[&page].clone();
                let location = if status.is_redirection() {
                    body.clone()
                } else {
                    String::new()
                };
                (
                    status,
                    [
                        ("content-type", "application/json"),
                        ("location", &*location),
                    ],
                    body,
                )
                    .into_response()
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        origin
    }

    pub fn put(&self, page: &str, status: u16, body: &(impl ToString + ?Sized)) {
        let status = StatusCode::from_u16(status).unwrap();
        self.pages
            .lock()
            .unwrap()
            .insert(page.to_owned(), (status, body.to_string()));
    }

    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}
