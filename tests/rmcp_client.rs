//! rmcp's own client. It lives in a crate of its own (`tests/rmcp`), since its dependencies are not
//! this crate's; its artifacts share this crate's target directory.

mod outside;

use std::path::Path;

use self::outside::{
    Server,
    rmcp::{built, cargo},
    run,
};

#[test]
fn against_the_library_in_process() {
    let output = cargo("test").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let results = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}\n{results}");
    println!("{results}");
}

#[tokio::test]
async fn against_the_example_server_with_a_crash_in_between() {
    let client = built();
    let data = tempfile::tempdir().unwrap();
    let store = format!("sled:{}", data.path().join("auth").display());
    let (state, another) = (data.path().join("state"), data.path().join("another"));
    let play = async |phase: &str, server: &Server, state: &Path| {
        let mut command = tokio::process::Command::new(&client);
        command.arg(phase).arg(server.mcp_url()).arg(state);
        run(command).await;
    };

    let server = Server::start(&store).await;
    play("first", &server, &state).await;
    let server = server.crash_and_restart(&store).await;
    play("second", &server, &state).await;
    play("first", &server, &another).await;
    assert!(server.terminate().await.success());
}
