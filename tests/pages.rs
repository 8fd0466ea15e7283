//! The sign-in, consent, device and error pages in Chromium, as people see them.

mod outside;

use std::path::PathBuf;

use self::outside::{Server, run, scripts::node, skip};

macro_rules! cases {
    ($($test:ident => $case:literal,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                in_chromium($case).await;
            }
        )*
    };
}

cases! {
    approving_lands_on_the_callback => "approve",
    denying_is_an_answer => "deny",
    a_wrong_password_can_be_corrected => "wrong-password",
    two_tabs_both_finish => "two-tabs",
    tabs_opened_at_once_both_finish => "tabs-opened-at-once",
    a_private_scheme_is_reached => "private-scheme",
    a_callback_may_redirect_onward => "onward",
    everything_has_a_name => "accessible",
    scripts_are_not_needed => "without-scripts",
    the_keyboard_is_enough => "keyboard",
    a_device_is_let_in => "device",
    another_site_may_ask_to_sign_out => "sign-out",
    an_unregistered_redirect_is_a_page => "error-page",
}

async fn in_chromium(case: &str) {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    if !PathBuf::from(&chromium).exists() {
        return skip(&format!("no Chromium at {chromium}"));
    }
    let Some(mut script) = node("pages.mjs") else {
        return;
    };
    let screenshots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&screenshots).unwrap();
    let server = Server::start("memory:").await;
    script.arg(case).arg(&server.origin).arg(&screenshots);
    run(script).await;
}
