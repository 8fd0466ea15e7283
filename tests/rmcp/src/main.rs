//! `rmcp-client first|second MCP_URL STATE_FILE`: like the script clients in `tests/clients`.

use std::{env::args, fs};

use rmcp_client::{Error, first, second};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = args().skip(1).collect();
    let [phase, mcp_url, file] = args.as_slice() else {
        return Err("usage: rmcp-client first|second MCP_URL STATE_FILE".into());
    };
    let kept = match phase.as_str() {
        "first" => first(mcp_url).await?,
        _ => second(mcp_url, serde_json::from_slice(&fs::read(file)?)?).await?,
    };
    fs::write(file, serde_json::to_vec(&kept)?)?;
    let summary = serde_json::json!({
        "client": "rmcp 3",
        "phase": phase,
        "scope": kept.granted_scopes,
        "refreshed": true,
    });
    println!("{summary}");
    Ok(())
}
