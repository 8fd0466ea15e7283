//! Results that ask for something first (MCP 2026-07-28): a round returns requests for the client to
//! fulfil, and the next call brings the answers, and the state that the round gave along.

use rand::{TryRng, rngs::SysRng};
use rmcp::{
    ErrorData,
    model::{
        CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, InputRequiredResult,
        InputResponses, RequestStateCodec, SealOptions,
    },
};
use serde_json::{Value, json};

/// One call of such a tool.
pub(crate) struct Round<'a> {
    pub(crate) tool: &'a str,
    pub(crate) responses: Option<&'a InputResponses>,
    pub(crate) state: Option<&'a str>,
    pub(crate) capabilities: &'a ClientCapabilities,
    pub(crate) codec: &'a RequestStateCodec,
}

/// Signed, so that a client can only bring back what it was given.
pub(crate) fn codec() -> RequestStateCodec {
    let mut key = [0; 32];
    SysRng
        .try_fill_bytes(&mut key)
        .expect("the system has random numbers");
    RequestStateCodec::try_new(key).expect("a key of 32 bytes is long enough")
}

impl Round<'_> {
    /// `None` for a tool that is not of this kind.
    pub(crate) fn play(&self) -> Option<Result<CallToolResponse, ErrorData>> {
        let answer = match self.tool {
            "test_streaming_elicitation" | "test_input_required_result_elicitation" => {
                self.wants("user_name", ask_name("What is your name?"), |name| {
                    format!("Hello, {}!", name["content"]["name"].as_str()?).into()
                })
            }
            "test_input_required_result_sampling" => self.wants(
                "capital_question",
                sample("What is the capital of France?", 100),
                |answer| Some(answer["content"]["text"].as_str()?.to_owned()),
            ),
            "test_input_required_result_list_roots" => {
                self.wants("client_roots", list_roots(), |answer| {
                    Some(json!(answer["roots"].as_array()?).to_string())
                })
            }
            "test_input_required_result_request_state" => {
                return Some(self.confirm("state-ok"));
            }
            "test_input_required_result_tampered_state" => {
                return Some(self.confirm("The state is as it was."));
            }
            "test_input_required_result_multiple_inputs" => return Some(self.three_at_once()),
            "test_input_required_result_multi_round" => return Some(self.name_then_colour()),
            "test_input_required_result_capabilities" => self.what_the_client_can_do(),
            _ => return None,
        };
        Some(Ok(answer))
    }

    fn answer(&self, key: &str) -> Option<&Value> {
        self.responses?.get(key)
    }

    /// Asks for one thing until there is an answer that `done` can use.
    fn wants(
        &self,
        key: &str,
        request: Value,
        done: impl FnOnce(&Value) -> Option<String>,
    ) -> CallToolResponse {
        match self.answer(key).and_then(done) {
            Some(text) => complete(text),
            None => required([(key, request)], None).into(),
        }
    }

    fn confirm(&self, done: &str) -> Result<CallToolResponse, ErrorData> {
        let Some(state) = self.state else {
            let request = elicit(
                "Please confirm",
                json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] }),
            );
            return Ok(required([("confirm", request)], Some(self.seal("asked"))).into());
        };
        self.open(state).map(|_| complete(done.to_owned()))
    }

    fn three_at_once(&self) -> Result<CallToolResponse, ErrorData> {
        let requests = [
            ("user_name", ask_name("What is your name?")),
            ("greeting", sample("Generate a greeting", 50)),
            ("client_roots", list_roots()),
        ];
        if let Some(state) = self.state {
            self.open(state)?;
        }
        if requests.iter().all(|(key, _)| self.answer(key).is_some()) {
            return Ok(complete("All three are here.".to_owned()));
        }
        Ok(required(requests, Some(self.seal("asked"))).into())
    }

    fn name_then_colour(&self) -> Result<CallToolResponse, ErrorData> {
        let step = self.state.map(|state| self.open(state)).transpose()?;
        Ok(
            match (step.as_deref(), self.answer("step1"), self.answer("step2")) {
                (Some("colour"), _, Some(_)) => complete("Two answers are here.".to_owned()),
                (Some("name"), Some(_), _) | (Some("colour"), ..) => {
                    let request = elicit(
                        "Step 2: What is your favorite color?",
                        json!({ "type": "object", "properties": { "color": { "type": "string" } }, "required": ["color"] }),
                    );
                    required([("step2", request)], Some(self.seal("colour"))).into()
                }
                _ => {
                    let request = ask_name("Step 1: What is your name?");
                    required([("step1", request)], Some(self.seal("name"))).into()
                }
            },
        )
    }

    fn what_the_client_can_do(&self) -> CallToolResponse {
        let mut requests = Vec::new();
        if self.capabilities.elicitation.is_some() {
            requests.push(("user_name", ask_name("What is your name?")));
        }
        if self.capabilities.sampling.is_some() {
            requests.push(("greeting", sample("Generate a greeting", 50)));
        }
        if self.capabilities.roots.is_some() {
            requests.push(("client_roots", list_roots()));
        }
        if requests.iter().any(|(key, _)| self.answer(key).is_none()) {
            required(requests, None).into()
        } else {
            complete("There was nothing to ask.".to_owned())
        }
    }

    /// Bound to the tool: what one gave out, another does not take.
    fn seal(&self, state: &str) -> String {
        let options = SealOptions::new().associated_data(self.tool.as_bytes());
        self.codec.seal_with(state.as_bytes(), &options)
    }

    fn open(&self, state: &str) -> Result<String, ErrorData> {
        self.codec
            .open_with(state, self.tool.as_bytes())
            .ok()
            .and_then(|state| String::from_utf8(state).ok())
            .ok_or_else(|| ErrorData::invalid_params("this is not the state given out", None))
    }
}

pub(crate) fn ask_name(message: &str) -> Value {
    elicit(
        message,
        json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] }),
    )
}

pub(crate) fn elicit(message: &str, schema: Value) -> Value {
    json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": schema },
    })
}

fn sample(prompt: &str, max_tokens: u32) -> Value {
    json!({
        "method": "sampling/createMessage",
        "params": {
            "messages": [{ "role": "user", "content": { "type": "text", "text": prompt } }],
            "maxTokens": max_tokens,
        },
    })
}

fn list_roots() -> Value {
    json!({ "method": "roots/list" })
}

pub(crate) fn required<'a>(
    requests: impl IntoIterator<Item = (&'a str, Value)>,
    state: Option<String>,
) -> InputRequiredResult {
    let requests = requests.into_iter().map(|(key, request)| {
        let request = serde_json::from_value(request).expect("a request of this file");
        (key.to_owned(), request)
    });
    InputRequiredResult::new(Some(requests.collect()), state)
}

fn complete(text: String) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}
