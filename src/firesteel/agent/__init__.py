"""The harness: a model uses tools, thinks with pictures, asks agents like itself. Knows no HTTP server, no training."""

from firesteel.agent.events import Event
from firesteel.agent.limits import Limits
from firesteel.agent.loop import allow, deny, run
from firesteel.agent.tools import Tool, ToolError, tool

__all__ = ["Event", "Limits", "Tool", "ToolError", "allow", "deny", "run", "tool"]
