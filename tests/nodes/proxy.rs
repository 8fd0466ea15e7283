//! A load balancer, as it stands in front of several machines: each request goes to the next one,
//! but what belongs to an MCP session goes where that session is.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::AbortHandle};

const SESSION: &str = "mcp-session-id";

pub(crate) struct Proxy {
    pub(crate) origin: String,
    inner: Arc<Inner>,
    task: AbortHandle,
}

struct Inner {
    client: Client<HttpConnector, Body>,
    nodes: Mutex<Vec<String>>,
    turn: AtomicUsize,
    sessions: Mutex<HashMap<String, String>>,
}

impl Proxy {
    /// One without nodes, whose address they need to know.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            client: Client::builder(TokioExecutor::new()).build_http(),
            nodes: Mutex::default(),
            turn: AtomicUsize::new(0),
            sessions: Mutex::default(),
        });
        let shared = Arc::clone(&inner);
        let app = Router::new().fallback(move |request| {
            let inner = Arc::clone(&shared);
            async move { inner.pass(request).await }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            origin,
            inner,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn serve(&self, nodes: Vec<String>) {
        *self.inner.nodes.lock().unwrap() = nodes;
    }

    /// How many requests went through.
    pub(crate) fn passed(&self) -> usize {
        self.inner.turn.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    async fn pass(&self, mut request: Request) -> Response {
        let node = self.node_for(request.headers());
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let uri: Uri = format!("{node}{path}").parse().unwrap();
        *request.uri_mut() = uri;
        match self.client.request(request).await {
            Ok(response) => {
                if let Some(session) = text(response.headers()) {
                    self.sessions.lock().unwrap().insert(session, node);
                }
                response.map(Body::new)
            }
            Err(_) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }

    fn node_for(&self, headers: &HeaderMap) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let session = text(headers);
        let known = session.and_then(|id| self.sessions.lock().unwrap().get(&id).cloned());
        known.unwrap_or_else(|| {
            let nodes = self.nodes.lock().unwrap();
            nodes[turn % nodes.len()].clone()
        })
    }
}

fn text(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(SESSION)?.to_str().ok()?.to_owned())
}
