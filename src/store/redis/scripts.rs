//! The scripts: each operation is one, which Redis runs from end to end before anything else.

use std::sync::LazyLock;

/// A script and the name by which Redis knows it once it has seen it.
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) hash: String,
}

macro_rules! scripts {
    ($($name:ident: $($part:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let text = concat!(
                include_str!("lua/base.lua"),
                $("\n", include_str!(concat!("lua/", $part, ".lua")),)+
            );
            let hash = ::redis::Script::new(text).get_hash().to_owned();
            Script { text, hash }
        });)*
    };
}

scripts! {
    OPEN: "open";
    CREATE_CLIENT: "create_client";
    UPDATE_CLIENT: "update_client";
    BEGIN_AUTHORIZATION: "begin_authorization";
    END_AUTHORIZATION: "end_authorization";
    ISSUE_CODE: "announce" "grants" "clients" "consents" "issue_code";
    WITH_GRANT: "with_grant";
    REDEEM_CODE: "announce" "grants" "tokens" "clients" "redeem_code";
    ISSUE_TOKENS: "announce" "grants" "tokens" "clients" "used" "issue_tokens";
    USE_ONCE: "used" "use_once";
    BEGIN_DEVICE: "begin_device";
    DEVICE_BY_USER_CODE: "device_by_user_code";
    DECIDE_DEVICE: "announce" "grants" "consents" "decide_device";
    POLL_DEVICE: "poll_device";
    REDEEM_DEVICE: "announce" "grants" "tokens" "clients" "devices" "redeem_device";
    ROTATE_REFRESH: "announce" "grants" "clients" "rotate_refresh";
    ACCESS_TOKEN: "access_token";
    REVOKED_AMONG: "revoked_among";
    BEAT: "beat";
    REVOKE_ACCESS_TOKEN: "announce" "revoke_access_token";
    REVOKE_GRANT: "announce" "grants" "revoke_grant";
    REVOKE_MANY: "announce" "grants" "consents" "revoke_many";
    GRANTS_LISTED: "announce" "grants" "grants_listed";
    LISTED: "listed";
    ADD_KEY: "add_key";
    SWEEP: "announce" "grants" "consents" "devices" "remove" "sweep";
    EXPORT: "export";
    IMPORT: "announce" "grants" "consents" "devices" "remove" "used" "import";
}
