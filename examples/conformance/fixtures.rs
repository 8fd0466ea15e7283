//! What the tools, resources and prompts do.
#![expect(
    deprecated,
    reason = "the suite for older protocol versions wants what the newest one dropped"
)]

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientResult,
        ContentBlock, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult,
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation, JsonObject,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams,
        ProgressNotificationParam, PromptMessage, ReadResourceRequestParams, ReadResourceResponse,
        ReadResourceResult, RequestStateCodec, ResourceContents, Role, SamplingMessage,
        ServerCapabilities, ServerConfig, ServerRequest, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    catalogue::{self, PNG, STATIC_BINARY, STATIC_TEXT, WATCHED, WAV},
    rounds::{self, Round},
};

/// Between two messages of one call: the suite wants to see them come one by one.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
enum Change {
    Tools,
    Prompts,
}

#[derive(Clone)]
pub(crate) struct Fixtures {
    changes: broadcast::Sender<Change>,
    codec: Arc<RequestStateCodec>,
}

impl Default for Fixtures {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(16).0,
            codec: Arc::new(rounds::codec()),
        }
    }
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_logging()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new(
            "conformance",
            env!("CARGO_PKG_VERSION"),
        ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(catalogue::tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        catalogue::tools()
            .into_iter()
            .find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let capabilities = context.client_capabilities().unwrap_or_default();
        let round = Round {
            tool: &request.name,
            responses: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            capabilities: &capabilities,
            codec: &self.codec,
        };
        if let Some(response) = round.play() {
            return response;
        }
        let arguments = request.arguments.unwrap_or_default();
        let content = match &*request.name {
            "test_simple_text" => vec![text("This is a simple text response for testing.")],
            "test_image_content" => vec![ContentBlock::image(PNG, "image/png")],
            "test_audio_content" => vec![ContentBlock::audio(WAV, "audio/wav")],
            "test_embedded_resource" => vec![ContentBlock::resource(ResourceContents::text(
                "This is an embedded resource content.",
                "test://embedded-resource",
            ))],
            "test_multiple_content_types" => mixed(),
            "test_tool_with_logging" => with_logging(&context).await,
            "test_tool_with_progress" => with_progress(&context).await,
            "test_logging_tool" => {
                if context.meta.log_level().is_some() {
                    log(&context, "You asked for this.").await;
                }
                vec![text("Done.")]
            }
            "test_error_handling" => {
                let why = "This tool intentionally returns an error for testing";
                return Ok(CallToolResult::error(vec![text(why)]).into());
            }
            "test_sampling" => sampling(&context, string(&arguments, "prompt")?).await?,
            "test_elicitation" => {
                let message = string(&arguments, "message")?;
                let answer = elicitation(&context, message, user_schema()).await?;
                vec![text(format!("User response: {}", described(&answer)))]
            }
            "test_elicitation_sep1034_defaults" => {
                let answer =
                    elicitation(&context, "All of it has defaults", defaults_schema()).await?;
                vec![text(format!(
                    "Elicitation completed: {}",
                    described(&answer)
                ))]
            }
            "test_elicitation_sep1330_enums" => {
                let answer = elicitation(&context, "Please choose", choices_schema()).await?;
                vec![text(format!(
                    "Elicitation completed: {}",
                    described(&answer)
                ))]
            }
            "test_missing_capability" => {
                if capabilities.sampling.is_none() {
                    let needed = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
                vec![text("The client has what it takes.")]
            }
            "test_reconnection" => {
                tokio::time::sleep(2 * PAUSE).await;
                vec![text("Here is the answer.")]
            }
            "test_trigger_tool_change" => self.announce(Change::Tools),
            "test_trigger_prompt_change" => self.announce(Change::Prompts),
            "test_parameter_header" => vec![text(string(&arguments, "region")?)],
            "json_schema_2020_12_tool" => vec![text(Value::Object(arguments).to_string())],
            unknown => {
                return Err(ErrorData::invalid_params(
                    format!("there is no tool {unknown:?}"),
                    None,
                ));
            }
        };
        Ok(CallToolResult::success(content).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(catalogue::resources()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = catalogue::resource_templates();
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let contents = match uri {
            STATIC_TEXT => {
                ResourceContents::text("This is the content of the static text resource.", uri)
            }
            WATCHED => ResourceContents::text("Nothing has happened yet.", uri),
            STATIC_BINARY => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
            _ => {
                let id = uri
                    .strip_prefix("test://template/")
                    .and_then(|rest| rest.strip_suffix("/data"))
                    .ok_or_else(|| {
                        let data = json!({ "uri": uri });
                        ErrorData::resource_not_found("Resource not found", Some(data))
                    })?;
                let data = json!({
                    "id": id,
                    "templateTest": true,
                    "data": format!("Data for ID: {id}"),
                });
                ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
            }
        };
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            let accepted = context.accepted();
            let told = match change {
                Ok(Change::Tools) if accepted.tools_list_changed == Some(true) => {
                    context.sink().notify_tool_list_changed().await
                }
                Ok(Change::Prompts) if accepted.prompts_list_changed == Some(true) => {
                    context.sink().notify_prompt_list_changed().await
                }
                Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => return Ok(()),
            };
            if told.is_err() {
                return Ok(());
            }
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(catalogue::prompts()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let say = |content| PromptMessage::new(Role::User, content);
        let messages = match request.name.as_str() {
            "test_simple_prompt" => vec![say(text("This is a simple prompt for testing."))],
            "test_prompt_with_arguments" => vec![say(text(format!(
                "Prompt with arguments: arg1='{}', arg2='{}'",
                string(&arguments, "arg1")?,
                string(&arguments, "arg2")?,
            )))],
            "test_prompt_with_embedded_resource" => vec![
                say(ContentBlock::resource(ResourceContents::text(
                    "Embedded resource content for testing.",
                    string(&arguments, "resourceUri")?,
                ))),
                say(text("Please process the embedded resource above.")),
            ],
            "test_prompt_with_image" => vec![
                say(ContentBlock::image(PNG, "image/png")),
                say(text("Please analyze the image above.")),
            ],
            "test_input_required_result_prompt" => {
                let answer = request
                    .input_responses
                    .as_ref()
                    .and_then(|responses| responses.get("user_context"));
                let Some(answer) = answer else {
                    let schema = json!({
                        "type": "object",
                        "properties": { "context": { "type": "string" } },
                        "required": ["context"],
                    });
                    let request = rounds::elicit("What context should the prompt use?", schema);
                    return Ok(rounds::required([("user_context", request)], None).into());
                };
                vec![say(text(format!("The context: {answer}")))]
            }
            unknown => {
                return Err(ErrorData::invalid_params(
                    format!("there is no prompt {unknown:?}"),
                    None,
                ));
            }
        };
        Ok(GetPromptResult::new(messages).into())
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }
}

impl Fixtures {
    fn announce(&self, change: Change) -> Vec<ContentBlock> {
        // Nobody may be listening.
        let told = self.changes.send(change).unwrap_or(0);
        vec![text(format!("{told} subscriptions were told."))]
    }
}

fn text(text: impl Into<String>) -> ContentBlock {
    ContentBlock::text(text)
}

fn string<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, ErrorData> {
    arguments
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| ErrorData::invalid_params(format!("{name} is missing"), None))
}

fn mixed() -> Vec<ContentBlock> {
    let data = json!({ "test": "data", "value": 123 }).to_string();
    vec![
        text("Multiple content types test:"),
        ContentBlock::image(PNG, "image/png"),
        ContentBlock::resource(
            ResourceContents::text(data, "test://mixed-content-resource")
                .with_mime_type("application/json"),
        ),
    ]
}

async fn with_logging(context: &RequestContext<RoleServer>) -> Vec<ContentBlock> {
    log(context, "Tool execution started").await;
    tokio::time::sleep(PAUSE).await;
    log(context, "Tool processing data").await;
    tokio::time::sleep(PAUSE).await;
    log(context, "Tool execution completed").await;
    vec![text("The log has it.")]
}

async fn log(context: &RequestContext<RoleServer>, message: &str) {
    let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(message));
    // Whoever left does not read it.
    let _ = context.peer.notify_logging_message(message).await;
}

async fn with_progress(context: &RequestContext<RoleServer>) -> Vec<ContentBlock> {
    for progress in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, progress).with_total(100.0);
            let _ = context.peer.notify_progress(progress).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    vec![text("It went all the way.")]
}

async fn sampling(
    context: &RequestContext<RoleServer>,
    prompt: &str,
) -> Result<Vec<ContentBlock>, ErrorData> {
    let messages = vec![SamplingMessage::user_text(prompt)];
    let answer = context
        .peer
        .create_message(CreateMessageRequestParams::new(messages, 100))
        .await
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let answer = answer
        .message
        .content
        .first()
        .and_then(|part| part.as_text());
    let answer = answer.map_or("", |part| part.text.as_str());
    Ok(vec![text(format!("LLM response: {answer}"))])
}

async fn elicitation(
    context: &RequestContext<RoleServer>,
    message: &str,
    schema: Value,
) -> Result<ElicitResult, ErrorData> {
    let request = ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema: serde_json::from_value(schema).expect("a schema of this file"),
    });
    let failed = |why: String| ErrorData::internal_error(why, None);
    match context
        .peer
        .send_request(ServerRequest::ElicitRequest(request))
        .await
    {
        Ok(ClientResult::ElicitResult(answer)) => Ok(answer),
        Ok(other) => Err(failed(format!("not an answer: {other:?}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn described(answer: &ElicitResult) -> String {
    let action = json!(answer.action);
    let content = json!(answer.content);
    format!(
        "action={}, content={content}",
        action.as_str().unwrap_or_default()
    )
}

fn user_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

fn defaults_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

fn choices_schema() -> Value {
    let titled = |kind: &str| -> Vec<_> {
        [
            ("value1", "First"),
            ("value2", "Second"),
            ("value3", "Third"),
        ]
        .map(|(value, title)| json!({ "const": value, "title": format!("{title} {kind}") }))
        .into()
    };
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
            "titledSingle": { "type": "string", "oneOf": titled("Option") },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {
                "type": "array",
                "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
            },
            "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
        },
    })
}
