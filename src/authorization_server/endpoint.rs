//! The endpoints by name.

/// One endpoint of the authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Where a browser begins (RFC 6749 §3.1).
    Authorize,
    /// Where a browser goes on after signing in, and where the consent form is sent.
    Consent,
    /// Where clients leave a request for the browser to bring the name of (RFC 9126 §2).
    PushedAuthorization,
    /// Where codes and refresh tokens become tokens (RFC 6749 §3.2).
    Token,
    /// Where devices without a browser begin (RFC 8628 §3.1).
    DeviceAuthorization,
    /// Where a person types the code that a device shows, and decides (RFC 8628 §3.3).
    Device,
    /// Where clients introduce themselves (RFC 7591 §3).
    Register,
    /// Where clients give tokens back (RFC 7009 §2).
    Revoke,
    /// Where clients and resource servers ask about tokens (RFC 7662 §2).
    Introspect,
    /// What a token may know of its user (OpenID Connect Core §5.3).
    Userinfo,
    /// The keys that tokens are signed with (RFC 7517 §5).
    #[cfg(feature = "jwt")]
    Jwks,
    /// Where clients send their user to sign out (OpenID Connect RP-Initiated Logout §2), where the
    /// application [can](crate::McpAuthBuilder::sign_out).
    #[cfg(feature = "jwt")]
    EndSession,
    /// What the layer knows of a token, over HTTP: the session, or `null`.
    GetSession,
}

impl Endpoint {
    pub(crate) const ALL: &[Self] = &[
        Self::Authorize,
        Self::Consent,
        Self::PushedAuthorization,
        Self::Token,
        Self::DeviceAuthorization,
        Self::Device,
        Self::Register,
        Self::Revoke,
        Self::Introspect,
        Self::Userinfo,
        #[cfg(feature = "jwt")]
        Self::Jwks,
        #[cfg(feature = "jwt")]
        Self::EndSession,
        Self::GetSession,
    ];

    /// The last segment of the endpoint's path.
    pub(crate) const fn segment(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Consent => "consent",
            Self::PushedAuthorization => "par",
            Self::Token => "token",
            Self::DeviceAuthorization => "device-authorization",
            Self::Device => "device",
            Self::Register => "register",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Userinfo => "userinfo",
            #[cfg(feature = "jwt")]
            Self::Jwks => "jwks",
            #[cfg(feature = "jwt")]
            Self::EndSession => "end-session",
            Self::GetSession => "get-session",
        }
    }

    /// `Allow` (RFC 9110 §10.2.1).
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Self::Authorize | Self::Consent | Self::Device => "GET, POST",
            Self::PushedAuthorization
            | Self::Token
            | Self::DeviceAuthorization
            | Self::Revoke
            | Self::Introspect => "POST, OPTIONS",
            Self::Register => "GET, POST, PUT, DELETE, OPTIONS",
            Self::Userinfo => "GET, HEAD, POST, OPTIONS",
            #[cfg(feature = "jwt")]
            Self::Jwks => "GET, HEAD, OPTIONS",
            #[cfg(feature = "jwt")]
            Self::EndSession => "GET, POST",
            Self::GetSession => "GET, HEAD, OPTIONS",
        }
    }

    pub(crate) fn allows(self, method: &http::Method) -> bool {
        self.allow()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }

    /// Whether scripts of any origin may call it. Where cookies decide, none may.
    pub(crate) const fn is_cross_origin(self) -> bool {
        match self {
            Self::Authorize | Self::Consent | Self::Device => false,
            #[cfg(feature = "jwt")]
            Self::EndSession => false,
            _ => true,
        }
    }
}
