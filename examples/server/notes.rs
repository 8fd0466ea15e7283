//! The MCP server itself: three tools, which know nothing of OAuth but who calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::request::Parts;
use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{tool::Extension, wrapper::Parameters},
    model::{Implementation, ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
};
use serde::Deserialize;
use tower_mcp_auth::{McpSession, Subject};

/// Everyone's notes, kept until the process ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<HashMap<Subject, Vec<String>>>>);

impl Notes {
    /// Removes the notes with exactly this text; how many there were.
    fn delete(&self, owner: &Subject, text: &str) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(notes) = all.get_mut(owner) else {
            return 0;
        };
        let before = notes.len();
        notes.retain(|note| note != text);
        before - notes.len()
    }
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct Message {
    message: String,
}

#[derive(Clone, Debug)]
pub(crate) struct NotesServer {
    notes: Notes,
}

#[tool_router]
impl NotesServer {
    pub(crate) fn new(notes: Notes) -> Self {
        Self { notes }
    }

    #[tool(description = "Says the message back")]
    fn echo(&self, Parameters(Message { message }): Parameters<Message>) -> String {
        message
    }

    #[tool(description = "Who is signed in")]
    fn whoami(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        caller(&parts).map(|subject| subject.to_string())
    }

    /// Needs the scope `notes:write`: the layer sees to that before the call gets here.
    #[tool(description = "Deletes the notes with exactly this text")]
    fn delete_note(
        &self,
        Parameters(Message { message }): Parameters<Message>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, ErrorData> {
        Ok(match self.notes.delete(&caller(&parts)?, &message) {
            0 => "There was no such note.".to_owned(),
            _ => "Deleted.".to_owned(),
        })
    }
}

#[tool_handler]
impl ServerHandler for NotesServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("notes", env!("CARGO_PKG_VERSION")))
    }
}

/// The layer put the session into the request, and rmcp hands the request's parts to the tools.
fn caller(parts: &Parts) -> Result<Subject, ErrorData> {
    parts
        .extensions
        .get::<McpSession>()
        // A program in its own name may be called like a user.
        .filter(|session| !session.is_client())
        .map(|session| session.subject().clone())
        .ok_or_else(|| ErrorData::invalid_request("this tool is for people who signed in", None))
}
