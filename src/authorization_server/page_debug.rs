//! Pages as they are printed by whoever looks for a mistake in one: without the codes in them and
//! without what their forms carry.

use std::fmt;

use super::{ConsentPage, DeviceCodePage, DeviceConfirmPage, SignOutPage};

/// Hidden fields by their names.
struct Names<'a>(&'a [(&'static str, &'a str)]);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl fmt::Debug for ConsentPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsentPage")
            .field("client_name", &self.client_name)
            .field("client_host", &self.client_host)
            .field("client_uri", &self.client_uri)
            .field("destination", &self.destination)
            .field("is_local", &self.is_local)
            .field("user", &self.user)
            .field("resource", &self.resource)
            .field("scopes", &self.scopes)
            .field("action", &self.action)
            .field("fields", &Names(&self.fields))
            .finish()
    }
}

impl fmt::Debug for DeviceCodePage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCodePage")
            .field("user", &self.user)
            .field("problem", &self.problem)
            .field("action", &self.action)
            .field("fields", &Names(&self.fields))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceConfirmPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceConfirmPage")
            .field("client_name", &self.client_name)
            .field("client_host", &self.client_host)
            .field("client_uri", &self.client_uri)
            .field("user", &self.user)
            .field("resource", &self.resource)
            .field("scopes", &self.scopes)
            .field("action", &self.action)
            .field("fields", &Names(&self.fields))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SignOutPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignOutPage")
            .field("user", &self.user)
            .field("client_name", &self.client_name)
            .field("destination", &self.destination)
            .field("action", &self.action)
            .field("fields", &Names(&self.fields))
            .finish()
    }
}
