"""Chat completions. Reference: platform.openai.com/docs/api-reference/chat; thoughts as vLLM and DeepSeek name them."""
