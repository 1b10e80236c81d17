"""Token counts as a client saw them, in the words of the usage record."""

NAMES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens")


def counted(record):
    """What the record says, without what it does not know."""
    return {name: record["usage"][name] for name in NAMES if record["usage"][name] is not None}


def of_converse(usage):
    """Converse's `usage` member."""
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "totalTokens")
    return {ours: usage[theirs] for ours, theirs in zip(NAMES, names) if usage.get(theirs) is not None}


def of_titan(body):
    """A Titan Text answer."""
    given, written = body["inputTextTokenCount"], body["results"][0]["tokenCount"]
    return {"input_tokens": given, "output_tokens": written, "total_tokens": given + written}


def of_metrics(metrics):
    """`amazon-bedrock-invocationMetrics` of a stream's last chunk."""
    names = ("inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
    return {ours: metrics[theirs] for ours, theirs in zip(NAMES, names) if theirs in metrics}


def of_messages(usage):
    """Anthropic's `usage` member."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return {ours: usage[theirs] for ours, theirs in zip(NAMES, names) if usage.get(theirs) is not None}


def of_completion(usage):
    """OpenAI's `usage` member, and litellm's: here the count of the input includes what came from and went to the cache."""
    details = usage.get("prompt_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return {
        "input_tokens": usage["prompt_tokens"] - read - written,
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def of_langchain(usage):
    """LangChain's `usage_metadata`; its count of the input includes the cache as well, whose parts add up."""
    cached = sum((usage.get("input_token_details") or {}).values())
    return {
        "input_tokens": usage["input_tokens"] - cached,
        "output_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def of_ai_sdk(usage):
    """The `usage` of Vercel's AI SDK."""
    return {
        "input_tokens": usage["inputTokenDetails"]["noCacheTokens"],
        "output_tokens": usage["outputTokens"],
        "total_tokens": usage["totalTokens"],
    }
