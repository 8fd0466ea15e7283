//! `rmcp-client first|second MCP_URL STATE_FILE` and `rmcp-client enterprise MCP_URL IDP_URL`: like
//! the script clients in `tests/clients`.

use std::{env::args, fs};

use rmcp_client::{Error, enterprise, first, second};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = args().skip(1).collect();
    let [phase, mcp_url, file] = args.as_slice() else {
        return Err("usage: rmcp-client first|second|enterprise MCP_URL STATE_FILE|IDP_URL".into());
    };
    if phase == "enterprise" {
        enterprise(mcp_url, file).await?;
        println!(r#"{{"client":"rmcp 3","phase":"enterprise"}}"#);
        return Ok(());
    }
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
