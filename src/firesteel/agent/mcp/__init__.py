"""The Model Context Protocol, both ways: tools of any server for our agent, our tools for any client.

- `client.py`: addresses, and several servers at once as a list of `Tool`s; `link.py`: one connection.
- `foreign.py`: what a server says about its tools and answers with, none of which is trusted.
- `server.py`: our tools over stdin and stdout, or over streamable HTTP on this machine.

Built on the protocol's own `mcp` package (2.3), which speaks the handshake versions and 2026-07-28.
"""

from firesteel.agent.mcp.address import Server
from firesteel.agent.mcp.client import Servers, connect
from firesteel.agent.mcp.server import serve_http, serve_stdio

__all__ = ["Server", "Servers", "connect", "serve_http", "serve_stdio"]
