//! What the lists show. The suite knows everything by these names.

use std::sync::Arc;

use rmcp::model::{JsonObject, Prompt, PromptArgument, Resource, ResourceTemplate, Tool};
use serde_json::{Value, json};

/// A red dot.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// A sample of silence.
pub(crate) const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==";

pub(crate) const STATIC_TEXT: &str = "test://static-text";
pub(crate) const STATIC_BINARY: &str = "test://static-binary";
pub(crate) const WATCHED: &str = "test://watched-resource";

/// Tools without arguments.
const PLAIN: [(&str, &str); 24] = [
    ("test_simple_text", "Returns text"),
    ("test_image_content", "Returns an image"),
    ("test_audio_content", "Returns audio"),
    ("test_embedded_resource", "Returns an embedded resource"),
    (
        "test_multiple_content_types",
        "Returns text, an image and a resource",
    ),
    ("test_tool_with_logging", "Logs while it works"),
    ("test_tool_with_progress", "Reports progress while it works"),
    ("test_error_handling", "Always fails"),
    (
        "test_elicitation_sep1034_defaults",
        "Asks the user, with default values",
    ),
    (
        "test_elicitation_sep1330_enums",
        "Asks the user to choose, in every form there is",
    ),
    ("test_reconnection", "Takes a moment to answer"),
    ("test_missing_capability", "Works for clients with sampling"),
    ("test_streaming_elicitation", "Asks the user in its result"),
    ("test_logging_tool", "Logs where the request wants it"),
    ("test_trigger_tool_change", "Announces other tools"),
    ("test_trigger_prompt_change", "Announces other prompts"),
    (
        "test_input_required_result_elicitation",
        "Needs the user's name",
    ),
    ("test_input_required_result_sampling", "Needs a model"),
    ("test_input_required_result_list_roots", "Needs the roots"),
    (
        "test_input_required_result_request_state",
        "Needs a confirmation, and its state back",
    ),
    (
        "test_input_required_result_multiple_inputs",
        "Needs a name, a model and the roots at once",
    ),
    (
        "test_input_required_result_multi_round",
        "Needs a name, then a colour",
    ),
    (
        "test_input_required_result_tampered_state",
        "Takes its state back only unharmed",
    ),
    (
        "test_input_required_result_capabilities",
        "Needs what the client can do",
    ),
];

pub(crate) fn tools() -> Vec<Tool> {
    let nothing = object(json!({ "type": "object", "properties": {} }));
    let mut tools: Vec<_> = PLAIN
        .into_iter()
        .map(|(name, description)| Tool::new(name, description, Arc::clone(&nothing)))
        .collect();
    tools.extend([
        Tool::new(
            "test_sampling",
            "Asks the client's model",
            one_string("prompt"),
        ),
        Tool::new("test_elicitation", "Asks the user", one_string("message")),
        Tool::new(
            "test_parameter_header",
            "Has an argument that is also a header",
            object(json!({
                "type": "object",
                "properties": { "region": { "type": "string", "x-mcp-header": "Region" } },
                "required": ["region"],
            })),
        ),
        Tool::new(
            "json_schema_2020_12_tool",
            "Tool with JSON Schema 2020-12 features",
            object(json_schema_2020_12()),
        ),
    ]);
    tools
}

fn one_string(name: &str) -> Arc<JsonObject> {
    object(json!({
        "type": "object",
        "properties": { name: { "type": "string" } },
        "required": [name],
    }))
}

fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        other => unreachable!("a schema is an object: {other}"),
    }
}

pub(crate) fn resources() -> Vec<Resource> {
    [
        (STATIC_TEXT, "Text", "text/plain"),
        (STATIC_BINARY, "A picture", "image/png"),
        (WATCHED, "Something to subscribe to", "text/plain"),
    ]
    .map(|(uri, description, mime_type)| {
        Resource::new(uri, description)
            .with_description(description)
            .with_mime_type(mime_type)
    })
    .into()
}

pub(crate) fn resource_templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("test://template/{id}/data", "Data by number")
            .with_description("Data by number")
            .with_mime_type("application/json"),
    ]
}

pub(crate) fn prompts() -> Vec<Prompt> {
    let arguments = |names: &[&str]| {
        names
            .iter()
            .map(|name| PromptArgument::new(*name).with_required(true))
            .collect()
    };
    vec![
        Prompt::new("test_simple_prompt", Some("A prompt"), None),
        Prompt::new(
            "test_prompt_with_arguments",
            Some("A prompt with arguments"),
            Some(arguments(&["arg1", "arg2"])),
        ),
        Prompt::new(
            "test_prompt_with_embedded_resource",
            Some("A prompt with a resource"),
            Some(arguments(&["resourceUri"])),
        ),
        Prompt::new(
            "test_prompt_with_image",
            Some("A prompt with a picture"),
            None,
        ),
        Prompt::new(
            "test_input_required_result_prompt",
            Some("A prompt that needs an answer first"),
            None,
        ),
    ]
}
