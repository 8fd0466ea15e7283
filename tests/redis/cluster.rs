//! Three masters.

use std::{cell::RefCell, time::Duration};

use tower_mcp_auth::{
    RedisStore,
    store::{RevokeTarget, Store, contract},
};

use super::{
    common::digest,
    feed::Two,
    flow::Flow,
    servers::{Cluster, Deployment},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_what_every_store_promises() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let kept = RefCell::new(Vec::new());
    contract::run(async || {
        // By whichever node: it finds the others.
        let node = kept.borrow().len() % 3;
        let deployment = Deployment::at(cluster.0[node].url());
        let store = deployment.open().await;
        kept.borrow_mut().push(deployment);
        store
    })
    .await;
    let mut nodes = [0; 3];
    for deployment in kept.borrow().iter() {
        let of = cluster.owner_of(deployment);
        nodes[of] += 1;
    }
    assert!(nodes.iter().all(|count| *count > 0), "{nodes:?}");
}

#[tokio::test]
async fn a_node_that_dies_is_an_error_and_comes_back() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let deployment = Deployment::at(cluster.0[0].url());
    let store = RedisStore::builder(&*deployment.url)
        .prefix(&*deployment.prefix)
        .node(cluster.0[1].url())
        .deadline(Duration::from_millis(500))
        .connect()
        .await
        .unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    let owner = cluster.owner_of(&deployment);
    cluster.0[owner].kill();
    flow.is_live(&store).await.unwrap_err();
    cluster.0[owner].start_again();
    cluster.wait();
    super::failures::healed(&store).await;
    assert!(flow.is_live(&store).await.unwrap());
}

#[tokio::test]
async fn keys_that_moved_to_another_node_are_found_there() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let deployment = Deployment::at(cluster.0[0].url());
    let store = deployment.open().await;
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    let from = cluster.owner_of(&deployment);
    cluster.move_slot(&deployment, from, (from + 1) % 3);
    assert!(flow.is_live(&store).await.unwrap());
    flow.rotate(&store, 0).await;
}

#[tokio::test]
async fn what_is_revoked_by_one_node_is_heard_by_another() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let mut deployment = Deployment::at(cluster.0[0].url());
    // Commands of the test's own go to where the keys are.
    let owner = cluster.owner_of(&deployment);
    deployment.url = cluster.0[owner].url();
    let other = cluster.0[(owner + 1) % 3].url();
    let two = Two::new(&deployment, &other).await;
    let client = two.first.public_client().await;
    let tokens = two.first.tokens(&client, "alice", &[]).await;
    two.serve_from_cache(&deployment, &tokens.access).await;
    let target = RevokeTarget::RefreshToken(digest(&tokens.refresh));
    two.store.revoke(target, Default::default()).await.unwrap();
    two.refused(&tokens.access).await;
}
