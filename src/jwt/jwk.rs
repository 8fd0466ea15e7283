//! Public keys as they are published (RFC 7517), by name and by thumbprint (RFC 7638).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde_json::{Map, Value, json};

use super::Algorithm;
use crate::{
    error::ConfigError,
    json::parse_strictly,
    secret::{Digest, base64url},
};

/// How many keys a set may have.
const MAX_KEYS: usize = 64;
/// RSA moduli: less is weak, more costs us time. In bytes.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// No exponent in use has more bytes.
const MAX_RSA_EXPONENT: usize = 4;
/// Members that only private and symmetric keys have (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a key or a set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwkError {
    #[error("it is no JWK set")]
    Malformed,
    #[error("it has too many keys")]
    TooMany,
    #[error("it holds a private or a symmetric key")]
    Private,
    #[error("it holds a key that is malformed or too weak")]
    Key,
}

impl JwkError {
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Malformed => "it is no JWK set",
            Self::TooMany => "it has too many keys",
            Self::Private => "it holds a private or a symmetric key",
            Self::Key => "it holds a key that is malformed or too weak",
        }
    }
}

/// A public key.
#[derive(Clone)]
pub(crate) struct PublicKey {
    kid: Option<String>,
    /// What it is restricted to by its publisher.
    algorithm: Option<Algorithm>,
    material: Material,
    verifier: DecodingKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

impl Material {
    const fn fits(&self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::Rsa { .. }, Algorithm::RS256 | Algorithm::PS256)
                | (Self::P256 { .. }, Algorithm::ES256)
                | (Self::Ed25519 { .. }, Algorithm::EdDSA)
        )
    }
}

impl PublicKey {
    /// Reads one key: `None` for one that is of no use here, as other curves and keys for
    /// encryption are.
    ///
    /// # Errors
    ///
    /// When it has private parts, or is not well-formed.
    pub(crate) fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Self>, JwkError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) || text("kty") == Some("oct") {
            return Err(JwkError::Private);
        }
        let algorithm = match text("alg") {
            None => None,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        let verifies = jwk
            .get("key_ops")
            .and_then(Value::as_array)
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !verifies || text("use").is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        let bytes = |name: &str| {
            text(name)
                .and_then(|value| URL_SAFE_NO_PAD.decode(value).ok())
                .ok_or(JwkError::Key)
        };
        let coordinate = |name: &str| {
            bytes(name).and_then(|value| (value.len() == 32).then_some(value).ok_or(JwkError::Key))
        };
        let material = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (n, e) = (without_zeros(&bytes("n")?), without_zeros(&bytes("e")?));
                let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
                let strong = RSA_MODULUS.contains(&n.len())
                    && (1..=MAX_RSA_EXPONENT).contains(&e.len())
                    && e != [1];
                if !(strong && odd(&n) && odd(&e)) {
                    return Err(JwkError::Key);
                }
                Material::Rsa { n, e }
            }
            (Some("EC"), Some("P-256")) => Material::P256 {
                x: coordinate("x")?,
                y: coordinate("y")?,
            },
            (Some("OKP"), Some("Ed25519")) => {
                let x = coordinate("x")?;
                if is_of_small_order(&x) {
                    return Err(JwkError::Key);
                }
                Material::Ed25519 { x }
            }
            (Some(_), _) => return Ok(None),
            (None, _) => return Err(JwkError::Key),
        };
        if algorithm.is_some_and(|algorithm| !material.fits(algorithm)) {
            return Ok(None);
        }
        Ok(Some(Self::new(
            material,
            text("kid").map(str::to_owned),
            algorithm,
        )))
    }

    fn new(material: Material, kid: Option<String>, algorithm: Option<Algorithm>) -> Self {
        let verifier = match &material {
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Material::P256 { x, y } => DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()),
            Material::Ed25519 { x } => DecodingKey::from_ed_der(x),
        };
        Self {
            kid,
            algorithm,
            material,
            verifier,
        }
    }

    /// From the raw public halves of [`SigningKey`](super::SigningKey): RSA as `n` and `e`, P-256
    /// uncompressed, Ed25519 as it is.
    pub(super) fn from_raw(
        algorithm: Algorithm,
        kid: Option<String>,
        raw: RawPublicKey<'_>,
    ) -> Option<Self> {
        let material = match raw {
            RawPublicKey::Rsa { n, e } => Material::Rsa {
                n: without_zeros(n),
                e: without_zeros(e),
            },
            RawPublicKey::Point(point) => match (algorithm, point) {
                (Algorithm::EdDSA, x) if x.len() == 32 => Material::Ed25519 { x: x.to_vec() },
                (Algorithm::ES256, [4, xy @ ..]) if xy.len() == 64 => Material::P256 {
                    x: xy[..32].to_vec(),
                    y: xy[32..].to_vec(),
                },
                _ => return None,
            },
        };
        material
            .fits(algorithm)
            .then(|| Self::new(material, kid, Some(algorithm)))
    }

    /// Whether this key may be used with `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let name = match algorithm {
            Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        };
        // Asked by name: the process-wide default panics where the features of other crates in the
        // process make it ambiguous.
        self.fits(algorithm)
            && (DEFAULT_PROVIDER.verifier_factory)(&name, &self.verifier)
                .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }

    /// What makes the key this key, as a JWK.
    fn required_members(&self) -> Value {
        match &self.material {
            Material::Rsa { n, e } => {
                json!({ "e": base64url(e), "kty": "RSA", "n": base64url(n) })
            }
            Material::P256 { x, y } => {
                json!({ "crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y) })
            }
            Material::Ed25519 { x } => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": base64url(x) })
            }
        }
    }

    /// SHA-256 over the canonical form (RFC 7638 §3), as base64url: `jkt` where DPoP is spoken.
    pub(crate) fn thumbprint(&self) -> String {
        let members = self.required_members();
        // By hand, in lexical order: the order of a `Value` depends on a feature of serde_json that
        // any crate in the process may turn on.
        let mut names: Vec<_> = members.as_object().into_iter().flatten().collect();
        names.sort_unstable_by_key(|(name, _)| name.as_str());
        let body: Vec<_> = names
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        base64url(Digest::of(&format!("{{{}}}", body.join(","))).as_bytes())
    }

    /// The key as it is published.
    pub(crate) fn to_jwk(&self) -> Value {
        let mut jwk = self.required_members();
        jwk["use"] = "sig".into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        if let Some(algorithm) = self.algorithm {
            jwk["alg"] = algorithm.name().into();
        }
        jwk
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What comes out of a key pair.
#[derive(Clone, Copy)]
pub(super) enum RawPublicKey<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    Point(&'a [u8]),
}

fn keys_of(set: &Map<String, Value>) -> Result<&[Value], JwkError> {
    match set.get("keys") {
        Some(Value::Array(keys)) if keys.len() > MAX_KEYS => Err(JwkError::TooMany),
        Some(Value::Array(keys)) => Ok(keys),
        _ => Err(JwkError::Malformed),
    }
}

fn read(key: &Value) -> Result<Option<PublicKey>, JwkError> {
    PublicKey::from_jwk(key.as_object().ok_or(JwkError::Malformed)?)
}

/// The keys that somebody signs with.
#[derive(Clone, Debug, Default)]
pub(crate) struct JwkSet(Vec<PublicKey>);

impl JwkSet {
    /// Reads a set that is published for everybody: `{"keys": [...]}`. Keys that are of no use here,
    /// be they malformed, weak, private or symmetric, are left out and spoil none of the others
    /// (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// When it is no set, or has nothing else in it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, JwkError> {
        let members = parse_strictly(bytes).ok_or(JwkError::Malformed)?;
        let (mut set, mut wrong) = (Vec::new(), None);
        for key in keys_of(&members)? {
            match read(key) {
                Ok(key) => set.extend(key),
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        match wrong {
            Some(error) if set.is_empty() => Err(error),
            _ => Ok(Self(set)),
        }
    }

    /// Reads a set that somebody hands over as their own (`jwks`, RFC 7591 §2), and who learns of a
    /// mistake in it now. Keys for other purposes are left out.
    ///
    /// # Errors
    ///
    /// When it is no set, or any key in it is malformed, weak, private or symmetric.
    pub(crate) fn from_value(value: &Value) -> Result<Self, JwkError> {
        let keys = keys_of(value.as_object().ok_or(JwkError::Malformed)?)?;
        let keys: Result<Vec<_>, _> = keys.iter().map(read).collect();
        Ok(Self(keys?.into_iter().flatten().collect()))
    }

    /// The set that somebody was configured with.
    ///
    /// # Errors
    ///
    /// When it has no key that can be used.
    pub(crate) fn configured(value: &Value) -> Result<Self, ConfigError> {
        let keys = Self::from_value(value).map_err(|error| ConfigError::Keys(error.message()))?;
        if keys.is_empty() {
            return Err(ConfigError::Keys("none of them can be used"));
        }
        Ok(keys)
    }

    /// The keys that a token with this `kid` and `alg` can mean. Keys without a name are meant only
    /// where no key has the name.
    pub(crate) fn select<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let named = kid.is_some_and(|kid| self.has(kid));
        self.0.iter().filter(move |key| {
            key.fits(algorithm)
                && match kid {
                    None => true,
                    Some(_) if named => key.kid.as_deref() == kid,
                    Some(_) => key.kid.is_none(),
                }
        })
    }

    /// Whether a key has that name.
    pub(crate) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether there is no key that is of use.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PublicKey> for JwkSet {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// Whether anybody can sign for that point of edwards25519: eight points have few multiples, and some
/// of them two spellings.
fn is_of_small_order(point: &[u8]) -> bool {
    /// The heights of the four whose order is eight.
    const EIGHTH: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let [first, between @ .., last] = point else {
        return false;
    };
    // Without the bit that tells left from right.
    let last = last & 0x7f;
    let all = |byte| between.iter().all(|other| *other == byte);
    match (first, last) {
        (0 | 1, 0) => all(0),
        // One below the prime, the prime, and one above, which is written for 0 and 1.
        (0xec..=0xee, 0x7f) => all(0xff),
        _ => EIGHTH
            .iter()
            .any(|height| height[0] == *first && height[1..31] == *between && height[31] == last),
    }
}

/// Some publishers write numbers with zeros in front.
fn without_zeros(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}
