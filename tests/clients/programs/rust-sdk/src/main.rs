//! One whole answer and one stream with the AWS SDK for Rust; prints the usage of each as JSON.

use std::error::Error;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, ConverseStreamOutput, Message, TokenUsage,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::new(&aws_config::load_from_env().await);
    let (model, question) = (std::env::var("MODEL")?, std::env::var("QUESTION")?);
    let message = Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(question))
        .build()?;

    let whole = client
        .converse()
        .model_id(&model)
        .messages(message.clone())
        .send()
        .await?;
    print(whole.usage());

    let mut events = client
        .converse_stream()
        .model_id(&model)
        .messages(message)
        .send()
        .await?
        .stream;
    while let Some(event) = events.recv().await? {
        if let ConverseStreamOutput::Metadata(metadata) = event {
            print(metadata.usage());
        }
    }
    Ok(())
}

/// In the words of the API.
fn print(usage: Option<&TokenUsage>) {
    let Some(usage) = usage else { return };
    println!(
        r#"{{"inputTokens": {}, "outputTokens": {}, "totalTokens": {}}}"#,
        usage.input_tokens(),
        usage.output_tokens(),
        usage.total_tokens()
    );
}
