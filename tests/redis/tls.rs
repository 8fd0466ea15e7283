//! A server that speaks TLS only.

use std::path::{Path, PathBuf};

use tower_mcp_auth::RedisStore;

use super::{
    child::{itself, role, start},
    flow::Flow,
    servers::{Server, free_port},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients/tls")
        .join(name)
}

/// The child: trusts the authority that its environment names.
#[tokio::test]
async fn child() {
    let Some((_, port)) = role() else { return };
    let store = RedisStore::connect(format!("rediss://localhost:{port}"));
    let flow = Flow::new("x");
    let store = store.await.unwrap();
    flow.redeem(&store).await;
    assert!(flow.is_live(&store).await.unwrap());
}

#[test]
fn a_certificate_is_checked_and_its_server_is_used() {
    let port = free_port().to_string();
    let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
    let settings = [
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
    ];
    let Some(_server) = Server::start(&settings) else {
        return;
    };
    for (trusted, works) in [("authority.pem", true), ("localhost.key", false)] {
        let mut command = itself(module_path!());
        command.env("SSL_CERT_FILE", file(trusted));
        let child = start(command, "client", Path::new(&port));
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), works, "{trusted}: {said}");
    }
}
