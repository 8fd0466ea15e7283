//! The grant of an assertion that an identity provider signed (RFC 7523 §2.1, ID-JAG §4.4): what it
//! gives to whom.

use serde_json::Value;

use super::{ErrorCode, JWT_BEARER, Refusal, authorize};
use crate::{
    client::Client,
    clock::Timestamp,
    jwt::{Claims, JwtError, thumbprint, time},
    params::Params,
    resource::{Catalog, KnownResource},
    scope::Scopes,
    uri::ResourceUri,
};

/// What an assertion gives.
#[derive(Debug)]
pub(crate) struct Asserted<'a> {
    /// The user's name at the identity provider.
    pub(crate) subject: &'a str,
    /// The assertion's own name, unique at its issuer.
    pub(crate) jti: &'a str,
    pub(crate) resource: &'a KnownResource,
    /// Named, without what they imply.
    pub(crate) scopes: Scopes,
    /// When the user signed in at the identity provider.
    pub(crate) auth_time: Option<Timestamp>,
    /// The key that has to be proven, by its thumbprint.
    pub(crate) jkt: Option<String>,
}

/// Only a client that registered the grant may use it (RFC 6749 §5.2), and only one that proves who
/// it is, unless `takes_public` (ID-JAG §9.1).
pub(crate) fn check_client(
    client: &Client,
    is_authenticated: bool,
    takes_public: bool,
) -> Result<(), Refusal> {
    let unauthorized =
        |reason, description| Refusal::new(ErrorCode::UnauthorizedClient, reason, description);
    if !client.may_use(JWT_BEARER) {
        return Err(unauthorized(
            "jwt_bearer_unregistered",
            "the client did not register the grant type \
             urn:ietf:params:oauth:grant-type:jwt-bearer",
        ));
    }
    if !is_authenticated && !takes_public {
        return Err(unauthorized(
            "jwt_bearer_public_client",
            "an assertion is taken only from a client that authenticates with a secret or key",
        ));
    }
    Ok(())
}

/// Decides on an assertion whose signature, issuer, audience and times are good.
pub(crate) fn decide<'a>(
    claims: &'a Claims,
    params: &Params<'_>,
    client: &Client,
    catalog: &'a Catalog,
) -> Result<Asserted<'a>, Refusal> {
    let subject = needed(claims.subject.as_deref(), "sub")?;
    let jti = needed(claims.jti.as_deref(), "jti")?;
    if claims.issued_at.is_none() {
        return Err(refusal(JwtError::Claim("iat")));
    }
    if needed(claims.text("client_id"), "client_id")? != client.id.as_str() {
        return Err(OTHER_CLIENT);
    }
    // Whoever narrowed the grant in a language that is not spoken here must not be taken to have
    // given all of it.
    let has_details = |value: &Value| value.as_array().is_none_or(|list| !list.is_empty());
    if claims
        .all
        .get("authorization_details")
        .is_some_and(has_details)
    {
        return Err(DETAILS);
    }
    let resource = resource(claims, params, catalog)?;
    Ok(Asserted {
        subject,
        jti,
        resource,
        scopes: scopes(claims, params, resource)?,
        auth_time: time(&claims.all, "auth_time").map_err(refusal)?,
        jkt: thumbprint(&claims.all).map_err(refusal)?,
    })
}

fn needed<'a>(claim: Option<&'a str>, name: &'static str) -> Result<&'a str, Refusal> {
    let present = claim.filter(|text| !text.is_empty());
    present.ok_or(refusal(JwtError::Claim(name)))
}

/// The one resource of the token: the assertion's, and of several the one that is asked for. An
/// assertion that names none leaves it to the request, as for any other grant.
fn resource<'a>(
    claims: &Claims,
    params: &Params<'_>,
    catalog: &'a Catalog,
) -> Result<&'a KnownResource, Refusal> {
    let named = match claims.all.get("resource") {
        None | Some(Value::Null) => return authorize::resource(params, catalog),
        Some(Value::Array(named)) => named.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let known = named
        .iter()
        .map(|name| {
            let uri = ResourceUri::parse(name.as_str()?).ok()?;
            catalog.find(&uri)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or(OTHER_RESOURCE)?;
    let first = *known.first().ok_or(OTHER_RESOURCE)?;
    if params.get("resource").is_some() {
        let asked = authorize::resource(params, catalog)?;
        let is_named = known.iter().any(|known| known.uri == asked.uri);
        return if is_named {
            Ok(asked)
        } else {
            Err(NOT_ASSERTED)
        };
    }
    if known.iter().all(|known| known.uri == first.uri) {
        Ok(first)
    } else {
        Err(AMBIGUOUS)
    }
}

/// What the assertion and the request both allow of what there is. Where the assertion says
/// nothing, it allows what the resource's challenge names; where the request does, all of it.
fn scopes(
    claims: &Claims,
    params: &Params<'_>,
    resource: &KnownResource,
) -> Result<Scopes, Refusal> {
    let asserted = match claims.all.get("scope") {
        None | Some(Value::Null) => resource.challenge.clone(),
        Some(Value::String(list)) => Scopes::parse(list).map_err(|_| SCOPE_MALFORMED)?,
        Some(_) => return Err(SCOPE_MALFORMED),
    };
    let asserted = asserted.intersection(&resource.scopes);
    if asserted.is_empty() && !resource.scopes.is_empty() {
        return Err(SCOPE_UNKNOWN);
    }
    let Some(asked) = params.get("scope") else {
        return Ok(asserted);
    };
    let asked = Scopes::parse(asked).map_err(|_| {
        Refusal::new(
            ErrorCode::InvalidScope,
            "scope_malformed",
            "scope is not a space-separated list of scopes",
        )
    })?;
    let asked = asked.intersection(&resource.scopes);
    // Whoever may have the broad scope may have the narrow one, on either side.
    let hierarchy = &resource.hierarchy;
    let granted = asked
        .intersection(&hierarchy.close(&asserted))
        .union(&asserted.intersection(&hierarchy.close(&asked)));
    if granted.is_empty() && !resource.scopes.is_empty() {
        return Err(SCOPE_NOT_ASSERTED);
    }
    Ok(granted)
}

/// Why an assertion is not believed.
pub(crate) fn refusal(error: JwtError) -> Refusal {
    let description = match error {
        JwtError::Malformed => "the assertion is not a well-formed signed token",
        JwtError::Algorithm => "the assertion is signed with an algorithm that is not accepted",
        JwtError::Type => "the assertion must be of type oauth-id-jag+jwt",
        JwtError::UnknownKey | JwtError::Signature => {
            "the assertion is not signed with a key of its issuer"
        }
        JwtError::Issuer => "the issuer of the assertion is not trusted here",
        JwtError::Audience => "the assertion must be for this issuer alone, letter for letter",
        JwtError::Expired => "the assertion has expired",
        JwtError::NotYetValid => "the assertion is not valid yet",
        JwtError::Lifetime => "the assertion must expire within an hour",
        JwtError::Claim("jti") => "the assertion needs a jti",
        JwtError::Claim("iat") => "the assertion needs an iat",
        JwtError::Claim("exp") => "the assertion needs an exp",
        JwtError::Claim("client_id") => "the assertion needs a client_id",
        JwtError::Claim("cnf") => "the assertion is bound to something other than a DPoP key",
        JwtError::Subject | JwtError::Claim("sub") => "the assertion needs a sub",
        JwtError::Claim(_) => "a claim of the assertion is missing or malformed",
    };
    Refusal::invalid_grant(error.reason(), description)
}

const OTHER_CLIENT: Refusal = Refusal::invalid_grant(
    "assertion_other_client",
    "the assertion is for another client than the one that sent it",
);
const DETAILS: Refusal = Refusal::invalid_grant(
    "assertion_authorization_details",
    "authorization_details are not supported here",
);
const OTHER_RESOURCE: Refusal = Refusal::invalid_grant(
    "assertion_other_resource",
    "the assertion is for a resource that is not protected here",
);
const NOT_ASSERTED: Refusal = Refusal::new(
    ErrorCode::InvalidTarget,
    "resource_not_asserted",
    "the assertion is for another resource",
);
const AMBIGUOUS: Refusal = Refusal::new(
    ErrorCode::InvalidTarget,
    "resource_ambiguous",
    "the assertion is for several resources; ask for one of them",
);
const SCOPE_MALFORMED: Refusal = Refusal::invalid_grant(
    "assertion_scope_malformed",
    "the scope of the assertion is not a space-separated list of scopes",
);
const SCOPE_UNKNOWN: Refusal = Refusal::invalid_grant(
    "assertion_scope_unknown",
    "none of the scopes of the assertion exists at this resource",
);
const SCOPE_NOT_ASSERTED: Refusal = Refusal::new(
    ErrorCode::InvalidScope,
    "scope_not_asserted",
    "the assertion gives none of these scopes",
);
