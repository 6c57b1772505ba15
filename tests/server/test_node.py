"""The SDKs for JavaScript, against a real server. Needs node, and npm's `openai` and `@anthropic-ai/sdk` in the folder
FIRESTEEL_NODE_MODULES."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent.scripted import calls, says
from tests.server.serving import live

MODULES = os.environ.get("FIRESTEEL_NODE_MODULES", "")
pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and (Path(MODULES) / "openai").is_dir()),
    reason="npm install openai @anthropic-ai/sdk, then set FIRESTEEL_NODE_MODULES to its node_modules",
)
SCRIPT = """
const OpenAI = require('openai'), Anthropic = require('@anthropic-ai/sdk');
const url = process.argv[1], said = [];
const schema = {type: 'object', properties: {a: {type: 'integer'}}, required: ['a']};
const tools = ['double', 'negate'];
const run = (name, args) => String(name === 'double' ? 2 * args.a : -args.a);
(async () => {
  const openai = new OpenAI({baseURL: url + '/v1', apiKey: 'x'});
  const messages = [{role: 'user', content: 'go'}];
  for (;;) {
    const stream = openai.chat.completions.stream({model: 'kindling', messages,
      tools: tools.map(name => ({type: 'function', function: {name, parameters: schema}}))});
    const message = (await stream.finalChatCompletion()).choices[0].message;
    messages.push(message);
    if (!message.tool_calls?.length) { said.push(message.content); break; }
    for (const call of message.tool_calls) messages.push({role: 'tool', tool_call_id: call.id,
      content: run(call.function.name, JSON.parse(call.function.arguments))});
  }
  let input = 'go', previous;
  for (;;) {
    const answer = await openai.responses.create({model: 'kindling', input, previous_response_id: previous,
      tools: tools.map(name => ({type: 'function', name, parameters: schema, strict: false}))});
    const calls = answer.output.filter(item => item.type === 'function_call');
    previous = answer.id;
    if (!calls.length) { said.push(answer.output_text); break; }
    input = calls.map(call => ({type: 'function_call_output', call_id: call.call_id,
      output: run(call.name, JSON.parse(call.arguments))}));
  }
  const anthropic = new Anthropic({baseURL: url, apiKey: 'x'}), turns = [{role: 'user', content: 'go'}];
  for (;;) {
    const answer = await anthropic.messages.stream({model: 'kindling', max_tokens: 99, messages: turns,
      tools: tools.map(name => ({name, input_schema: schema}))}).finalMessage();
    turns.push({role: 'assistant', content: answer.content});
    const uses = answer.content.filter(block => block.type === 'tool_use');
    if (!uses.length) { said.push(answer.content.at(-1).text); break; }
    turns.push({role: 'user', content: uses.map(use => ({type: 'tool_result', tool_use_id: use.id,
      content: run(use.name, use.input)}))});
  }
  console.log(JSON.stringify(said));
})().catch(error => { console.error(error); process.exit(1); });
"""


def test_three_protocols_do_a_task_with_two_tools():
    task = calls(("double", {"a": "3"})), calls(("negate", {"a": "6"})), says("-6", thought="well")
    with live(*task * 3) as (url, service):
        done = subprocess.run(
            ["node", "-e", SCRIPT, url],
            env={"PATH": os.environ["PATH"], "NODE_PATH": MODULES},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        results = [[m.text for m in request.messages if m.role == "tool"] for request in service.backend.requests]
    assert json.loads(done.stdout) == ["-6", "-6", "-6"]
    assert results == [[], ["6"], ["6", "-6"]] * 3
