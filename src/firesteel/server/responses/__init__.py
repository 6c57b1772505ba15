"""`/v1/responses`: Open Responses 2026-04-24 and OpenAI's Responses API."""
