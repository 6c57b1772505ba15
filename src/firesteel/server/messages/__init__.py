"""Anthropic's Messages. Reference: docs.anthropic.com/en/api/messages and the OpenAPI specification behind it."""
